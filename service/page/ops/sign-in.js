/** The way in, where this page has one of its own: as a demo user, or with a token. */

import { html, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';

const DEMO_OPERATOR = 'operator';

/** @param {any} props */
function Form({ id, label, hint, button, first = '', type = 'text', onSubmit, failure }) {
  const { i18n } = usePage();
  const [problem, setProblem] = useState('');
  const [isBusy, setIsBusy] = useState(false);
  const submit = async (/** @type {any} */ event) => {
    event.preventDefault();
    if (isBusy) return;
    setIsBusy(true);
    setProblem('');
    try {
      await onSubmit(event.target.elements.value.value.trim());
    } catch (error) {
      setProblem(failure ? i18n.t(failure) : i18n.problem(/** @type {any} */ (error)));
    } finally {
      setIsBusy(false);
    }
  };
  return html`<form class="card way-in" onSubmit=${submit}>
    <label class="field">
      <span>${i18n.t(label)}</span>
      <input name="value" type=${type} data-testid=${id} defaultValue=${first} required autocomplete="off" autocapitalize="none" spellcheck=${false} />
      ${hint && html`<small>${i18n.t(hint)}</small>`}
    </label>
    <button class="primary" data-testid=${`${id}-sign-in`} aria-disabled=${isBusy}>${i18n.t(button)}</button>
    ${problem && html`<p class="problem" role="alert" data-testid="error">${problem}</p>`}
  </form>`;
}

export function DemoForm() {
  const { session } = usePage();
  const signIn = (/** @type {string} */ name) => session.signInAsDemo(name);
  return html`<${Form} id="demo" label="signIn.name" hint="ops.signIn.demoHint" button="signIn.demo" first=${DEMO_OPERATOR} onSubmit=${signIn} />`;
}

export function TokenForm() {
  const { session } = usePage();
  const signIn = (/** @type {string} */ token) => session.signInWithToken(token);
  return html`<${Form} id="token" type="password" label="signIn.token" button="signIn.useToken" failure="error.token" onSubmit=${signIn} />`;
}
