/** The way in: a demo name, the sign-in page of Cognito, or, where there is none, a developer's token. */

import { html, useEffect, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { Brand, LanguageSwitch, Simulated } from './header.js';
import { PrivacyNote } from './privacy.js';

/** The key of the words that say how the last session has ended. @param {import('../session.js').Session} session */
export function endingOf({ hasEnded, isErased }) {
  if (isErased) return 'account.erase.done';
  return hasEnded ? 'error.unauthorized' : 'signedOut';
}

/** @param {{hasEnded: boolean, problem?: import('../api.js').ApiError | null}} props `problem`: why the sign-in page let nobody in */
export function SignIn({ hasEnded, problem }) {
  const { i18n, config, session } = usePage();
  const isEnded = hasEnded && !session.isErased;
  const words = problem ? i18n.problem(problem) : isEnded && i18n.t(endingOf(session));
  return html`<header class="top">
      <h1><${Brand} /></h1>
      <span class="person"><${LanguageSwitch} /></span>
    </header>
    <main class="welcome">
      <h2 id="welcome-title" tabindex="-1">${i18n.t('welcome.title')}</h2>
      <p class="lead">${i18n.t('welcome.lead')}</p>
      ${session.isErased && html`<p class="notice" role="status" data-testid="erased">${i18n.t(endingOf(session))}</p>`}
      ${words && html`<p class="problem" role="alert" data-testid="error">${words}</p>`}
      <${WayIn} config=${config} />
      <p class="notes"><${PrivacyNote} /></p>
    </main>`;
}

/** @param {{config: import('../page.js').Config}} props */
function WayIn({ config: { demo, signIn } }) {
  if (demo) return html`<${DemoForm} />`;
  return signIn ? html`<${HostedForm} provider=${signIn.identityProvider} />` : html`<${TokenForm} />`;
}

/** @param {{provider: string}} props */
function HostedForm({ provider }) {
  const { i18n, session } = usePage();
  const [isBusy, setIsBusy] = useState(false);
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  useEffect(() => {
    // Who comes back from the sign-in page without an answer may find this page as it was left.
    const stopWaiting = () => setIsBusy(false);
    addEventListener('pageshow', stopWaiting);
    return () => removeEventListener('pageshow', stopWaiting);
  }, []);
  const begin = () => {
    if (isBusy) return;
    setIsBusy(true);
    setProblem(null);
    session.beginHostedSignIn().catch((/** @type {any} */ error) => {
      setProblem(error);
      setIsBusy(false);
    });
  };
  return html`<div class="card">
    <p>${i18n.t('signIn.lead')}</p>
    <button type="button" class="primary" data-testid="sign-in" aria-disabled=${isBusy} onClick=${begin}>
      ${isBusy ? i18n.t('signIn.leaving') : provider ? i18n.t('signIn.with', { provider }) : i18n.t('signIn.hosted')}
    </button>
    ${problem && html`<p class="problem" role="alert" data-testid="error">${i18n.problem(problem)}</p>`}
  </div>`;
}

function DemoForm() {
  const { i18n, session } = usePage();
  const [name, setName] = useState('alice');
  const [isBusy, setIsBusy] = useState(false);
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    setIsBusy(true);
    setProblem(null);
    try {
      await session.signInAsDemo(name.trim());
    } catch (error) {
      setProblem(error);
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
    ${problem && html`<p class="problem" role="alert" data-testid="error">${i18n.problem(problem)}</p>`}
    <aside class="simulated"><span class="badge">DEMO</span><div><${Simulated} /></div></aside>
  </form>`;
}

function TokenForm() {
  const { i18n, session } = usePage();
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  /** @param {any} event */
  const submit = (event) => {
    event.preventDefault();
    try {
      session.signInWithToken(event.target.elements.token.value.trim());
    } catch {
      setProblem({ code: 'token' });
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
        ${problem && html`<p class="problem" role="alert" data-testid="error">${i18n.problem(problem)}</p>`}
      </form>
    </details>
  </div>`;
}
