/** What every component may reach: the words, the limits, the styles, the session and the studio. */

import { createContext, useContext, useEffect, useState } from './vendor/preact-htm.js';

/**
 * @typedef {{id: string, name: Record<string, string>, description: Record<string, string>, default?: boolean}} Style
 * @typedef {{demo: boolean, simulated: string[], dailyLimit: number, maxUploadBytes: number,
 *   contentTypes: string[], maxPromptLength: number}} Config
 * @typedef {{i18n: import('./i18n.js').I18n, config: Config, styles: Style[],
 *   session: import('./session.js').Session, studio: import('./studio.js').Studio | null,
 *   announcer: import('./announcer.js').Announcer}} Page
 */

export const PageContext = createContext(/** @type {any} */ (null));

/** @returns {Page} */
export const usePage = () => useContext(PageContext);

/** Draw again whenever the store changes. @param {import('./store.js').Store} store */
export function useStore(store) {
  const [, draw] = useState(0);
  useEffect(() => store.subscribe(() => draw((/** @type {number} */ count) => count + 1)), [store]);
  return store.state;
}

/** @typedef {{text: string, code?: string, requestId?: string}} Problem `text` is a sentence */

const NETWORK_PROBLEMS = ['network', 'timeout', 'not_ready'];
const CONNECTED = ['live', 'streaming', 'polling'];

/**
 * What went wrong, if anything did, and the way to say so. That the service cannot be reached is true until it is reached again.
 * @returns {[Problem | null, (problem: Problem | null) => void]}
 */
export function useProblem() {
  const { studio } = usePage();
  const [problem, setProblem] = useState(/** @type {Problem | null} */ (null));
  useEffect(() => {
    if (!studio || !NETWORK_PROBLEMS.includes(problem?.code ?? '')) return undefined;
    const { store } = studio;
    let known = store.state.connection;
    return store.subscribe(() => {
      const { connection } = store.state;
      if (connection !== known && CONNECTED.includes(connection)) setProblem(null);
      known = connection;
    });
  }, [problem]);
  return [problem, setProblem];
}

/** @param {Page} page @param {unknown} error @returns {Problem} */
export function asProblem({ i18n }, error) {
  const failed = /** @type {any} */ (error);
  return { text: i18n.problem(failed), code: failed.code, requestId: failed.requestId };
}

/** @param {Page} page @param {string | undefined} styleId */
export function styleName({ styles, i18n }, styleId) {
  const style = styles.find(({ id }) => id === styleId);
  return style?.name[i18n.language] ?? styleId ?? i18n.t('job.picture');
}
