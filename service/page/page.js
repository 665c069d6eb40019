/** What every component may reach: the words, the limits, the session, the studio and the view that is shown. */

import { createContext, useContext, useEffect, useState } from './vendor/preact-htm.js';
import { isConnected } from './store.js';

/** @typedef {import('./store.js').Job} Job */
/** @typedef {import('./studio.js').Studio} Studio */
/** @typedef {(props: any) => any} Component */
/**
 * @typedef {{demo: boolean, simulated: string[], dailyLimit: number, maxUploadBytes: number, contentTypes: string[],
 *   maxPromptLength: number, pipelines?: string[], maxDiaryCharacters?: number,
 *   signIn?: import('./hosted-sign-in.js').SignInConfig}} Config
 * @typedef {{i18n: import('./i18n.js').I18n, config: Config, session: import('./session.js').Session, studio: Studio,
 *   announcer: import('./announcer.js').Announcer, notifier: import('./notifier.js').Notifier, assets: Record<string, any>, views: View[], view: View}} Page
 *   `assets` is what each view has loaded, by its id
 */
/**
 * One system's side of the page. The words it has of its own begin with its id, in `i18n/`.
 * @typedef {{
 *   id: string, pipeline: string, modes: string[], load?: () => Promise<any>,
 *   title: (page: Page, job: Job) => string, follow?: (page: Page) => () => void,
 *   Composer: Component, Sheet?: Component, Notes?: Component, Below?: Component, isRepeatable?: boolean, example?: Example,
 * }} View `id` is its hash; `pipeline` says whose jobs it shows; `modes` are the ways to look at a finished one;
 *   `title` names a job; `follow` listens for more than jobs, whichever view is shown, and returns the end of it.
 *   `Composer` takes what starts a job; `Sheet` shows what came out of it, `Notes` says it; `Below` comes under the gallery.
 *   `isRepeatable`: what came out may go in again. `example` is something to begin with.
 * @typedef {{photo: string} | {draft: string, words: string}} Example a photo in `examples/`, or the key of words for a draft
 * @typedef {{view: View, job: Job, name: string, mode: string, studio: Studio, preview?: string,
 *   progress?: import('./store.js').Progress}} CardProps what `Sheet` and `Notes` are given
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

/**
 * @typedef {{code: string, values?: Record<string, string>, message?: string, field?: string, requestId?: string, at?: string}} Problem
 *   what `i18n.problem` words where it is drawn, so that it follows the language; `at` is the test hook of the field at fault
 */

/** What the service calls the fields of a request, and where they are on the page. @type {Record<string, string>} */
const FIELDS = {
  captureTime: 'time',
  latitude: 'latitude',
  longitude: 'longitude',
  text: 'entry',
  date: 'entry-date',
  style: 'entry-style',
  background: 'background-own',
  prompt: 'prompt',
};
const NETWORK_PROBLEMS = ['network', 'timeout', 'not_ready'];

/**
 * What went wrong, if anything did, and the way to say so. That the service cannot be reached is true until it is reached again.
 * @param {(first: Problem | null) => [Problem | null, (problem: Problem | null) => void, ...unknown[]]} [useBox] where it is kept
 * @returns {[Problem | null, (problem: Problem | null) => void]}
 */
export function useProblem(useBox = useState) {
  const { studio } = usePage();
  const [problem, setProblem] = useBox(null);
  useEffect(() => {
    if (!studio || !NETWORK_PROBLEMS.includes(problem?.code ?? '')) return undefined;
    const { store } = studio;
    let known = store.state.connection;
    return store.subscribe(() => {
      const { connection } = store.state;
      if (connection !== known && isConnected(store.state)) setProblem(null);
      known = connection;
    });
  }, [problem]);
  return [problem, setProblem];
}

/** @param {unknown} error @returns {Problem} */
export function asProblem(error) {
  const { code, message, field, requestId } = /** @type {any} */ (error);
  return { code, message, field, requestId, at: FIELDS[field] };
}

/**
 * What the person has begun in this view; it outlives a look at another one.
 * @template Value @param {string} name @param {Value | (() => Value)} first
 * @returns {[Value, (value: Value) => void, () => Value]} the last reads the newest, also when the view is no longer shown
 */
export function useDraft(name, first) {
  const { studio, view } = usePage();
  const key = `${view.id}.${name}`;
  const read = () => studio.drafts.get(key, () => (first instanceof Function ? first() : first));
  const [value, setValue] = useState(read);
  // It may be set from elsewhere: by a card, or by a form that was left and is shown anew.
  useEffect(() => studio.drafts.subscribe(() => setValue(() => read())), [studio]);
  return [value, (/** @type {Value} */ next) => studio.drafts.set(key, next), read];
}

/**
 * The same, kept over a reload too, while it is another than the first.
 * @template Value @param {string} name @param {Value} first @returns {[Value, (value: Value) => void, () => Value]}
 */
export function useKeptDraft(name, first) {
  const { studio, view } = usePage();
  const [value, setValue, read] = useDraft(name, first);
  const keepValue = (/** @type {Value} */ next) => {
    studio.drafts.keep(`${view.id}.${name}`, next === first ? undefined : next);
    setValue(next);
  };
  return [value, keepValue, read];
}
