/** The way in: a demo name, or, until hosted sign-in is there, a developer's token. */

import { html, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { Brand, LanguageSwitch, Simulated } from './header.js';

/** @param {{hasEnded: boolean}} props */
export function SignIn({ hasEnded }) {
  const { i18n, config } = usePage();
  return html`<header class="top">
      <h1><${Brand} /></h1>
      <span class="person"><${LanguageSwitch} /></span>
    </header>
    <main class="welcome">
      <h2>${i18n.t('welcome.title')}</h2>
      <p class="lead">${i18n.t('welcome.lead')}</p>
      ${hasEnded && html`<p class="problem" role="alert" data-testid="error">${i18n.t('error.unauthorized')}</p>`}
      ${config.demo ? html`<${DemoForm} />` : html`<${TokenForm} />`}
    </main>`;
}

function DemoForm() {
  const { i18n, session } = usePage();
  const [name, setName] = useState('alice');
  const [isBusy, setIsBusy] = useState(false);
  const [problem, setProblem] = useState('');
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    setIsBusy(true);
    setProblem('');
    try {
      await session.signInAsDemo(name.trim());
    } catch (error) {
      setProblem(i18n.problem(/** @type {any} */ (error)));
      setIsBusy(false);
    }
  };
  return html`<form class="card" onSubmit=${submit}>
    <label class="field">
      <span>${i18n.t('signIn.name')}</span>
      <input
        data-testid="demo-user" required maxlength="32" pattern="[a-z0-9_\\-]+" autocapitalize="none" autocomplete="username"
        spellcheck=${false} title=${i18n.t('signIn.nameHint')} value=${name}
        onInput=${(/** @type {any} */ event) => setName(event.target.value)}
      />
      <small>${i18n.t('signIn.nameHint')}</small>
    </label>
    <button class="primary" data-testid="demo-sign-in" aria-disabled=${isBusy}>${i18n.t('signIn.demo')}</button>
    ${problem && html`<p class="problem" role="alert" data-testid="error">${problem}</p>`}
    <aside class="simulated"><span class="badge">DEMO</span><div><${Simulated} /></div></aside>
  </form>`;
}

function TokenForm() {
  const { i18n, session } = usePage();
  const [problem, setProblem] = useState('');
  /** @param {any} event */
  const submit = (event) => {
    event.preventDefault();
    try {
      session.signInWithToken(event.target.elements.token.value.trim());
    } catch {
      setProblem(i18n.t('error.token'));
    }
  };
  return html`<div class="card">
    <p>${i18n.t('signIn.notConfigured')}</p>
    <details>
      <summary>${i18n.t('signIn.developers')}</summary>
      <form onSubmit=${submit}>
        <label class="field">
          <span>${i18n.t('signIn.token')}</span>
          <textarea name="token" data-testid="token" rows="4" required autocomplete="off" spellcheck=${false}></textarea>
        </label>
        <button class="primary" data-testid="token-sign-in">${i18n.t('signIn.useToken')}</button>
        ${problem && html`<p class="problem" role="alert" data-testid="error">${problem}</p>`}
      </form>
    </details>
  </div>`;
}
