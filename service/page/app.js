/** The page's composition root: loads what it needs, then shows the sign-in or the studio. */

import { html, render, useEffect, useMemo, useRef, useState } from './vendor/preact-htm.js';
import { Announcer } from './announcer.js';
import { Api, loadConfig } from './api.js';
import { Footer } from './components/footer.js';
import { Gallery } from './components/gallery.js';
import { Refusal } from './components/connection.js';
import { goOnAt } from './components/focus.js';
import { Degraded, Header } from './components/header.js';
import { Navigation } from './components/navigation.js';
import { OutOfTouch } from './components/out-of-touch.js';
import { Shortcuts } from './components/shortcuts.js';
import { SignIn, endingOf } from './components/sign-in.js';
import { ToastRegion } from './components/toasts.js';
import { Drafts } from './drafts.js';
import { takeAnswer } from './hosted-sign-in.js';
import { loadI18n } from './i18n.js';
import { Notifier, startWorker } from './notifier.js';
import { PageContext, useStore } from './page.js';
import { useRoute } from './route.js';
import { openSession } from './session.js';
import { isConnected, runningCount } from './store.js';
import { Studio } from './studio.js';
import { offeredViews, viewOf } from './views/index.js';

/** @typedef {import('./page.js').Page} Page */

/** @param {{page: Page, signInProblem: import('./api.js').ApiError | null}} props */
function App({ page, signInProblem }) {
  const { i18n, session } = page;
  const [person, setPerson] = useState(session.subject);
  const [hasEnded, setHasEnded] = useState(session.hasEnded);
  const [problem, setProblem] = useState(signInProblem);
  const [, setLanguage] = useState(i18n.language);
  useEffect(() => {
    i18n.onChange = () => setLanguage(i18n.language);
    session.onChange = (ended) => {
      setHasEnded(ended);
      setProblem(null);
      setPerson(session.subject);
      // Who has left, in whichever tab, leaves nothing behind; whose session has ended may come back.
      if (!session.name && (!ended || session.isErased)) Drafts.forgetAll(sessionStorage);
    };
  }, []);
  useNewPlace(page, person);
  const studio = useMemo(() => (person ? new Studio(new Api(session)) : null), [person]);
  return html`<${PageContext.Provider} value=${{ ...page, studio }}>
    ${studio ? html`<${Workplace} key=${person} studio=${studio} page=${page} />` : html`<${SignIn} hasEnded=${hasEnded} problem=${problem} />`}
    <${Footer} />
  <//>`;
}

/**
 * Say what has come in the place of the other, and go on at its heading: who signs in or out has lost the focus with the button.
 * @param {Page} page @param {string | null} person
 */
function useNewPlace({ i18n, session, announcer }, person) {
  const shownFor = useRef(person);
  useEffect(() => {
    if (shownFor.current === person) return;
    shownFor.current = person;
    announcer.say(person ? i18n.t('signedIn', { name: session.name ?? '' }) : i18n.t(endingOf(session)), 'session');
    goOnAt(person ? 'composer-title' : 'welcome-title');
  }, [person]);
}

/** @param {{studio: Studio, page: Page}} props */
function Workplace({ studio, page }) {
  const state = useStore(studio.store);
  const { view, detail } = useRoute(page.views);
  const running = new Map(page.views.map((each) => [each.id, runningCount(state, each.pipeline)]));
  useStudio(studio, page);
  useEffect(keepFilesOut, []);
  useEffect(() => studio.drafts.releaseUnused(state), [state.submissions, state.previews]);
  useTitle(page.i18n.of(view, 'name'), [...running.values()].reduce((sum, count) => sum + count, 0));
  const main = useArrival(view);
  return html`<${PageContext.Provider} value=${{ ...page, studio, view }}>
    <${Header} connection=${state.connection} />
    <${Navigation} running=${running} />
    <${Refusal} studio=${studio} code=${state.refusal} />
    <${Degraded} parts=${state.degraded} />
    <${OutOfTouch} connection=${state.connection} isConnected=${isConnected(state)} />
    <main class="workplace" key=${view.id} ref=${main}>
      <${view.Composer} studio=${studio} state=${state} />
      <div class="works">
        <${Gallery} studio=${studio} state=${state} />
        ${view.Below && html`<${view.Below} studio=${studio} detail=${detail} />`}
      </div>
    </main>
    <${ToastRegion} toasts=${studio.toasts} />
    <${Shortcuts} studio=${studio} />
  <//>`;
}

/** Run the studio while its workplace is shown. @param {Studio} studio @param {Page} page */
function useStudio(studio, page) {
  useEffect(() => {
    studio.onJobNews = (job) => announce(page, job);
    studio.start();
    const ends = page.views.map((view) => view.follow?.({ ...page, studio, view }));
    return () => {
      ends.forEach((end) => end?.());
      studio.stop();
    };
  }, [studio]);
}

/** A file dropped where none is taken would replace the page, and all that was begun in it. @returns {() => void} */
function keepFilesOut() {
  const controller = new AbortController();
  for (const type of ['dragover', 'drop']) {
    addEventListener(
      type,
      (event) => /** @type {DragEvent} */ (event).dataTransfer?.types.includes('Files') && event.preventDefault(),
      { signal: controller.signal },
    );
  }
  return () => controller.abort();
}

/** @param {string} viewName @param {number} running */
function useTitle(viewName, running) {
  useEffect(() => {
    document.title = `${running ? `(${running}) ` : ''}${viewName} · Darkroom`;
  }, [viewName, running]);
  useEffect(
    () => () => {
      document.title = 'Darkroom';
    },
    [],
  );
}

/** Go on at the top of a view that the person has gone to, not of the one the page opens with. @param {import('./page.js').View} view */
function useArrival(view) {
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  const shown = useRef(view);
  useEffect(() => {
    if (shown.current === view) return;
    shown.current = view;
    main.current?.querySelector('h2')?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [view]);
  return main;
}

/** @param {Page} page @param {import('./store.js').Job} job */
function announce(page, job) {
  const { i18n, announcer, notifier, views } = page;
  const view = viewOf(views, job);
  if (!view) return;
  const words = i18n.t('announce.job', { name: view.title(page, job), status: i18n.of(view, `status.${job.status}`) });
  if (job.terminal && job.status !== 'canceled') void notifier.tell({ title: 'Darkroom', body: words, tag: job.jobId, hash: `#${view.id}`, lang: i18n.language });
  if (job.status !== 'failed') return announcer.say(words, job.jobId);
  announcer.alert(`${words} ${i18n.of(view, `failure.${job.failure?.code}`, {}, job.error ?? i18n.t('failure.unknown'))}`);
}

/** What each view needs to begin with, by its id. @param {import('./page.js').View[]} views */
async function loadAssets(views) {
  const entries = views.map(async ({ id, load }) => [id, await load?.()]);
  return Object.fromEntries(await Promise.all(entries));
}

/** @param {HTMLElement} root */
async function start(root) {
  const answer = takeAnswer();
  const [i18n, config] = await Promise.all([loadI18n(), loadConfig()]);
  const views = offeredViews(config);
  const assets = await loadAssets(views);
  const session = openSession(config);
  const signInProblem = answer && (await session.finishHostedSignIn(answer).catch((/** @type {Error} */ error) => error));
  const [polite, alarm] = ['announcements', 'alarms'].map((id) => document.getElementById(id));
  const announcer = new Announcer(/** @type {HTMLElement} */ (polite), /** @type {HTMLElement} */ (alarm));
  root.replaceChildren();
  const notifier = new Notifier(localStorage);
  const page = { i18n, config, assets, views, session, announcer, notifier, studio: null, view: null };
  render(html`<${App} page=${page} signInProblem=${signInProblem} />`, root);
}

startWorker();
const root = /** @type {HTMLElement} */ (document.getElementById('app'));
start(root).catch(() => {
  const sentence = document.createElement('p');
  sentence.className = 'loading';
  sentence.dataset.testid = 'error';
  sentence.setAttribute('role', 'alert');
  // The catalogues may be what is missing, so both languages are here.
  sentence.textContent = 'Darkroom cannot be reached. Please reload. / 연결할 수 없습니다. 새로고침해 주세요.';
  root.replaceChildren(sentence);
});
