/** The operator's page: signs its reader in, follows the figures of one task, and takes orders. */

import { html, render, useEffect, useMemo, useState } from '../vendor/preact-htm.js';
import { loadConfig } from '../api.js';
import { Brand, DemoBadge, LanguageSwitch } from '../components/header.js';
import { loadI18n } from '../i18n.js';
import { PageContext, usePage } from '../page.js';
import { openSession } from '../session.js';
import { DrainPanel, RedrivePanel } from './actions.js';
import { Charts } from './charts.js';
import { Feed } from './feed.js';
import { Cards, Gates, Percentiles, Queues } from './figures.js';
import { Orders } from './orders.js';
import { DemoForm, TokenForm } from './sign-in.js';
import { UserPanel } from './user.js';

/** @typedef {import('./feed.js').State} State */

/** @param {{page: any}} props */
function Whole({ page }) {
  const { i18n, session } = page;
  const [person, setPerson] = useState(session.subject);
  const [, setLanguage] = useState(i18n.language);
  useEffect(() => {
    i18n.onChange = () => setLanguage(i18n.language);
    session.onChange = () => setPerson(session.subject);
  }, []);
  useEffect(() => {
    document.title = `${i18n.t('ops.title')} · Darkroom`;
  });
  return html`<${PageContext.Provider} value=${page}>
    ${person ? html`<${View} key=${person} />` : html`<${Top} /><main class="operators"><${Lead} /><${WayIn} /></main>`}
  <//>`;
}

/** @param {{connection?: string}} props */
function Top({ connection }) {
  const { i18n, session } = usePage();
  return html`<header class="top">
    <h1><a href="/" class="home"><${Brand} /></a></h1>
    ${connection &&
    html`<span class="connection" role="status" data-testid="connection" data-state=${connection === 'refused' ? 'signed-out' : connection}>
      ${i18n.t(`ops.connection.${connection}`)}
    </span>`}
    <${DemoBadge} />
    <span class="person">
      ${session.name &&
      html`<span class="person-name" title=${session.name}>${session.name}</span>
        <button type="button" class="quiet" data-testid="sign-out" onClick=${() => session.signOut()}>${i18n.t('signOut')}</button>`}
      <${LanguageSwitch} />
    </span>
  </header>`;
}

function Lead() {
  const { i18n } = usePage();
  return html`<h2>${i18n.t('ops.title')}</h2>
    <p class="lead">${i18n.t('ops.lead')}</p>`;
}

function WayIn() {
  const { i18n, config } = usePage();
  if (config.demo) return html`<${DemoForm} />`;
  return html`<p><a href="/">${i18n.t('ops.signIn')}</a></p>
    <${TokenForm} />`;
}

function View() {
  const { session } = usePage();
  const feed = useMemo(() => new Feed(session), []);
  const orders = useMemo(() => new Orders(session), []);
  const [state, setState] = useState(feed.state);
  useEffect(() => {
    const unsubscribe = feed.subscribe(() => setState(feed.state));
    void feed.start();
    return () => {
      unsubscribe();
      feed.stop();
    };
  }, [feed]);
  return html`<${Top} connection=${state.connection} />
    <main class="operators">
      <${Lead} />
      ${state.connection === 'refused' ? html`<${Refused} />` : html`<${Board} state=${state} orders=${orders} />`}
    </main>`;
}

function Refused() {
  const { i18n, session, config } = usePage();
  return html`<div class="problem" role="alert" data-testid="refused">
      <p>${i18n.t('ops.refused', { name: session.name ?? '' })} ${config.demo ? i18n.t('ops.refused.demo') : i18n.t('ops.refused.group')}</p>
    </div>
    ${config.demo && html`<${DemoForm} />`}`;
}

/** @param {{state: State, orders: Orders}} props */
function Board({ state: { connection, task, now, history }, orders }) {
  const { i18n } = usePage();
  return html`<div class="degraded" role="status" data-testid="lost">
      ${connection === 'offline' && html`<p>${i18n.t(now ? 'ops.lost' : 'ops.unreachable')}</p>`}
      ${connection === 'signed-out' && html`<p>${i18n.t('error.unauthorized')}</p>`}
    </div>
    ${task && now
      ? html`<${TaskLine} task=${task} now=${now} />
          <div class=${connection === 'live' ? 'board' : 'board stale'} data-testid="board">
            <${Cards} now=${now} />
            <${Charts} history=${history} />
            <h2>${i18n.t('ops.tables')}</h2>
            <div class="panels"><${Gates} now=${now} /><${Queues} now=${now} /><${Percentiles} now=${now} /></div>
          </div>
          <h2>${i18n.t('ops.orders')}</h2>
          <div class="panels orders"><${DrainPanel} orders=${orders} task=${task} /><${RedrivePanel} orders=${orders} /><${UserPanel} orders=${orders} /></div>`
      : connection === 'connecting' && html`<p class="lead">${i18n.t('ops.connection.connecting')}</p>`}`;
}

/** @param {{task: import('./feed.js').Task, now: import('./feed.js').Now}} props */
function TaskLine({ task, now }) {
  const { i18n } = usePage();
  const values = { task: task.name, version: task.version, since: i18n.moment(task.startedAt), state: i18n.t(`ops.state.${task.state}`) };
  return html`<p class="task" data-testid="task" data-task=${task.name} data-state=${task.state}>
      <b>${i18n.t('ops.task', values)}</b> ${i18n.t('ops.task.note')}
    </p>
    ${now.degraded.length > 0 &&
    html`<ul class="problem degradations" data-testid="degradations">
      ${now.degraded.map(({ part, condition, reason, since }) => html`<li key=${part}><b>${part}</b> ${i18n.firstOf([`degraded.${condition}`], reason)} <small>${i18n.t('ops.since', { moment: i18n.moment(since) })}</small></li>`)}
    </ul>`}`;
}

/** @param {HTMLElement} root */
async function start(root) {
  const [i18n, config] = await Promise.all([loadI18n(new URL('./i18n/', import.meta.url)), loadConfig()]);
  root.replaceChildren();
  render(html`<${Whole} page=${{ i18n, config, session: openSession(config) }} />`, root);
}

const root = /** @type {HTMLElement} */ (document.getElementById('ops'));
start(root).catch(() => {
  const sentence = document.createElement('p');
  sentence.className = 'loading';
  sentence.setAttribute('role', 'alert');
  // The catalogues may be what is missing, so both languages are here.
  sentence.textContent = 'Darkroom cannot be reached. Please reload. / 연결할 수 없습니다. 새로고침해 주세요.';
  root.replaceChildren(sentence);
});
