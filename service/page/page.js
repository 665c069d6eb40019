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

/** @param {Page} page @param {string | undefined} styleId */
export function styleName({ styles, i18n }, styleId) {
  const style = styles.find(({ id }) => id === styleId);
  return style?.name[i18n.language] ?? styleId ?? i18n.t('job.picture');
}
