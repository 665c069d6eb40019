/** What both pages of the documentation have in common: the words, the person, and the line at the top. */

import { html, render, useEffect, useState } from '../vendor/preact-htm.js';
import { loadConfig } from '../api.js';
import { Brand, LanguageSwitch } from '../components/header.js';
import { loadI18n } from '../i18n.js';
import { PageContext, usePage } from '../page.js';
import { openSession } from '../session.js';

/**
 * @typedef {{i18n: import('../i18n.js').I18n, config: import('../page.js').Config, session: import('../session.js').Session}} DocsPage
 */

const PLACES = ['rest', 'websocket'];
const ADDRESSES = { rest: '/docs', websocket: '/docs/websocket' };
const DOCUMENTS = { rest: '/openapi.json', websocket: '/asyncapi.json' };

/**
 * Load what a page needs and show it.
 * @param {'rest' | 'websocket'} place @param {(props: {name: string | null}) => any} Content with a `main` of its own
 */
export async function show(place, Content) {
  const root = /** @type {HTMLElement} */ (document.getElementById('page'));
  try {
    const [i18n, config] = await Promise.all([loadI18n(new URL('./i18n/', import.meta.url)), loadConfig()]);
    const page = { i18n, config, session: openSession(config) };
    root.replaceChildren();
    render(html`<${Whole} page=${page} place=${place} Content=${Content} />`, root);
  } catch {
    // The catalogues may be what is missing, so both languages are here.
    root.textContent = 'Darkroom cannot be reached. Please reload. / 연결할 수 없습니다. 새로고침해 주세요.';
  }
}

/** @param {{page: DocsPage, place: 'rest' | 'websocket', Content: any}} props */
function Whole({ page, place, Content }) {
  const { i18n, session } = page;
  const [name, setName] = useState(session.name);
  const [, setLanguage] = useState(i18n.language);
  useEffect(() => {
    i18n.onChange = () => setLanguage(i18n.language);
    session.onChange = () => setName(session.name);
  }, []);
  useEffect(() => {
    document.title = `${i18n.t(`docs.${place}`)} · Darkroom`;
  });
  return html`<${PageContext.Provider} value=${page}>
    <${Top} place=${place} />
    <div class="reference">
      <section aria-labelledby="title">
        <h2 id="title">${i18n.t(`docs.${place}`)}</h2>
        <p class="lead">${i18n.t(`docs.${place}.lead`)} ${i18n.t('docs.machines')} <a href=${DOCUMENTS[place]}>${DOCUMENTS[place]}</a></p>
        <${Account} name=${name} />
      </section>
      <${Content} name=${name} />
    </div>
  <//>`;
}

/** @param {{place: string}} props */
function Top({ place }) {
  const { i18n } = usePage();
  return html`<header class="top">
      <h1><a href="/" class="home"><${Brand} /></a></h1>
      <span class="person"><${LanguageSwitch} /></span>
    </header>
    <nav class="views" aria-label=${i18n.t('docs.navigation')}>
      <ul>
        <li><a href="/">${i18n.t('docs.home')}</a></li>
        ${PLACES.map(
          (each) => html`<li key=${each}>
            <a href=${ADDRESSES[/** @type {'rest'} */ (each)]} data-testid=${`docs-link-${each}`} aria-current=${each === place ? 'page' : undefined}>
              ${i18n.t(`docs.${each}`)}
            </a>
          </li>`,
        )}
      </ul>
    </nav>`;
}

/** Who what is tried here is done for. @param {{name: string | null}} props */
function Account({ name }) {
  const { i18n, session, config } = usePage();
  if (!name) return config.demo ? html`<${DemoForm} />` : html`<${TokenForm} />`;
  return html`<p class="account" data-testid="account">
    <span>${i18n.t('docs.account', { name })}</span>
    <button type="button" class="small" data-testid="sign-out" onClick=${() => session.signOut()}>${i18n.t('signOut')}</button>
  </p>`;
}

function DemoForm() {
  const { session } = usePage();
  const signIn = (/** @type {string} */ name) => session.signInAsDemo(name);
  return html`<${Form} id="demo-user" label="docs.demo" button="signIn.demo" first="alice" onSubmit=${signIn} />`;
}

function TokenForm() {
  const { i18n, session } = usePage();
  const signIn = (/** @type {string} */ token) => session.signInWithToken(token);
  return html`<p><a href="/">${i18n.t('docs.signIn')}</a></p>
    <${Form} id="token" type="password" label="signIn.token" button="signIn.useToken" first="" problem="error.token" onSubmit=${signIn} />`;
}

/** @param {any} props */
function Form({ id, type = 'text', label, button, first, problem, onSubmit }) {
  const { i18n } = usePage();
  const [said, setSaid] = useState('');
  const submit = async (/** @type {any} */ event) => {
    event.preventDefault();
    setSaid('');
    try {
      await onSubmit(event.target.elements.value.value.trim());
    } catch (error) {
      setSaid(problem ? i18n.t(problem) : i18n.problem(/** @type {any} */ (error)));
    }
  };
  return html`<form class="account" onSubmit=${submit}>
    <label for=${id}>${i18n.t(label)}</label>
    <input id=${id} name="value" type=${type} data-testid=${id} defaultValue=${first} required autocomplete="off" autocapitalize="none" spellcheck=${false} />
    <button class="small" data-testid="sign-in">${i18n.t(button)}</button>
    ${said && html`<p class="problem" role="alert" data-testid="error">${said}</p>`}
  </form>`;
}
