/** The page's composition root: loads what it needs, then shows the sign-in or the studio. */

import { html, render, useEffect, useMemo, useState } from './vendor/preact-htm.js';
import { Announcer } from './announcer.js';
import { Api, demoSignIn, loadConfig, loadStyles } from './api.js';
import { Composer } from './components/composer.js';
import { Gallery } from './components/gallery.js';
import { Degraded, Header } from './components/header.js';
import { SignIn } from './components/sign-in.js';
import { loadI18n } from './i18n.js';
import { PageContext, styleName, useStore } from './page.js';
import { Session } from './session.js';
import { runningCount } from './store.js';
import { Studio } from './studio.js';

/** @typedef {import('./page.js').Page} Page */

/** @param {{page: Page}} props */
function App({ page }) {
  const { i18n, session } = page;
  const [name, setName] = useState(session.name);
  const [hasEnded, setHasEnded] = useState(false);
  const [, setLanguage] = useState(i18n.language);
  useEffect(() => {
    i18n.onChange = () => setLanguage(i18n.language);
    session.onChange = (ended) => {
      setHasEnded(ended);
      setName(session.name);
    };
  }, []);
  const studio = useMemo(() => (name ? new Studio(new Api(session)) : null), [name]);
  return html`<${PageContext.Provider} value=${{ ...page, studio }}>
    ${studio ? html`<${Workplace} key=${name} studio=${studio} page=${page} />` : html`<${SignIn} hasEnded=${hasEnded} />`}
  <//>`;
}

/** @param {{studio: Studio, page: Page}} props */
function Workplace({ studio, page }) {
  const state = useStore(studio.store);
  useEffect(() => {
    studio.onJobNews = (job) => announce(page, job);
    studio.start();
    return () => studio.stop();
  }, [studio]);
  useTitle(runningCount(state));
  return html`<${Header} connection=${state.connection} />
    <${Degraded} parts=${state.degraded} />
    <main class="workplace">
      <${Composer} studio=${studio} state=${state} />
      <${Gallery} studio=${studio} state=${state} />
    </main>`;
}

/** @param {number} running */
function useTitle(running) {
  useEffect(() => {
    document.title = running ? `(${running}) Darkroom` : 'Darkroom';
  }, [running]);
  useEffect(
    () => () => {
      document.title = 'Darkroom';
    },
    [],
  );
}

/** @param {Page} page @param {import('./store.js').Job} job */
function announce(page, job) {
  const { i18n, announcer } = page;
  const style = styleName(page, job.style);
  const words = i18n.t('announce.job', { style, status: i18n.t(`status.${job.status}`) });
  if (job.status !== 'failed') return announcer.say(words);
  announcer.alert(`${words} ${i18n.firstOf([`failure.${job.failure?.code}`], job.error ?? '')}`);
}

/** @param {HTMLElement} root */
async function start(root) {
  const [i18n, config, styles] = await Promise.all([loadI18n(), loadConfig(), loadStyles()]);
  const session = new Session(sessionStorage, demoSignIn);
  const [polite, alarm] = ['announcements', 'alarms'].map((id) => document.getElementById(id));
  const announcer = new Announcer(/** @type {HTMLElement} */ (polite), /** @type {HTMLElement} */ (alarm));
  root.replaceChildren();
  render(html`<${App} page=${{ i18n, config, styles, session, announcer, studio: null }} />`, root);
}

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
