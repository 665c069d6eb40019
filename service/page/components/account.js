/** The person's account: who is signed in, what is left of the day, the way out, and all that is kept of the person, to take or to erase. */

import { html, useEffect, useRef, useState } from '../vendor/preact-htm.js';
import { asProblem, usePage, useProblem, useStore } from '../page.js';
import { CopyButton } from './card-parts.js';
import { refusalWords } from './connection.js';
import { Window } from './window.js';
import { PrivacyNote } from './privacy.js';

/** The person's name in the header, which opens the dialog. */
export function Account() {
  const { i18n, session } = usePage();
  const [isOpen, setIsOpen] = useState(false);
  return html`<button
      type="button" class="quiet person-name" data-testid="account-open" aria-haspopup="dialog" title=${session.name}
      aria-label=${i18n.t('account.open', { name: session.name ?? '' })} onClick=${() => setIsOpen(true)}
    >
      ${session.name}
    </button>
    ${isOpen && html`<${AccountDialog} onClose=${() => setIsOpen(false)} />`}`;
}

/** Sign out and leave nothing behind in this tab. @returns {() => void} */
export function useSignOut() {
  const { session, studio } = usePage();
  return () => {
    studio.drafts.forget();
    session.signOut();
  };
}

/** @param {{onClose: () => void}} props */
function AccountDialog({ onClose }) {
  const { i18n, studio } = usePage();
  const { refusal } = useStore(studio.store);
  const signOut = useSignOut();
  const [isErasing, setIsErasing] = useState(false);
  return html`<${Window} hook="account" title=${i18n.t('account.title')} onClose=${onClose}>
    <${Person} />
    ${isErasing
      ? html`<${Erasure} onLeave=${() => setIsErasing(false)} />`
      : html`${refusal ? html`<p class="problem" data-testid="account-refusal">${refusalWords(i18n, refusal)}</p>` : html`<${Matters} onErase=${() => setIsErasing(true)} />`}
          <div class="window-bottom">
            <${PrivacyNote} />
            <button type="button" data-testid="account-sign-out" onClick=${signOut}>${i18n.t('signOut')}</button>
          </div>`}
  <//>`;
}

/** What may be done with all that is kept. @param {{onErase: () => void}} props */
function Matters({ onErase }) {
  const { i18n } = usePage();
  return html`<${Export} />
    <section class="matter">
      <p>${i18n.t('account.erase.lead')}</p>
      <button type="button" class="small" data-testid="erase" onClick=${onErase}>${i18n.t('account.erase')}</button>
    </section>`;
}

function Person() {
  const { i18n, session, studio } = usePage();
  const { quota } = useStore(studio.store);
  return html`<dl class="account-facts">
    <dt>${i18n.t('account.name')}</dt>
    <dd data-testid="account-name">${session.name}</dd>
    ${session.email && session.email !== session.name && html`<dt>${i18n.t('account.email')}</dt><dd data-testid="account-email">${session.email}</dd>`}
    <dt>${i18n.t('account.id')}</dt>
    <dd>
      <code data-testid="account-id">${session.subject}</code>
      <${CopyButton} words=${session.subject ?? ''} label=${i18n.t('account.id.copy')} testId="account-id-copy" />
    </dd>
    <dt>${i18n.t('account.today')}</dt>
    <dd data-testid="account-quota">
      ${quota ? i18n.t('quota.left', { left: i18n.number(quota.remainingQuota), limit: i18n.number(quota.dailyLimit) }) : '…'}
      ${quota?.resetsAt && html`<br /><small>${i18n.t('quota.resets', { when: i18n.soon(quota.resetsAt) })}</small>`}
    </dd>
  </dl>`;
}

/** Hands all over as one file. It goes on while the dialog is open. */
function Export() {
  const { i18n, studio } = usePage();
  const [bytes, setBytes] = useState(/** @type {number | null} */ (null));
  const [isDone, setIsDone] = useState(false);
  const [problem, setProblem] = useProblem();
  const leaving = useRef(new AbortController());
  useEffect(() => () => leaving.current.abort(), []);
  const isBusy = bytes !== null;
  const hand = async () => {
    if (isBusy) return;
    setBytes(0);
    setIsDone(false);
    setProblem(null);
    try {
      save(await studio.api.exportMe(setBytes, leaving.current.signal));
      setIsDone(true);
    } catch (error) {
      if (!leaving.current.signal.aborted) setProblem(asProblem(error));
    }
    setBytes(null);
  };
  return html`<section class="matter">
    <p>${i18n.t('account.export.lead')}</p>
    <button type="button" class="small" data-testid="export" aria-disabled=${isBusy} onClick=${hand}>${i18n.t('account.export')}</button>
    ${isBusy && html`<progress aria-label=${i18n.t('account.export.busy')}></progress>`}
    <p role="status" data-testid="export-status">${bytes ? i18n.t('account.export.bytes', { size: i18n.megabytes(bytes) }) : isDone && i18n.t('account.export.done')}</p>
    ${problem && html`<p class="problem" role="alert" data-testid="account-error">${i18n.problem(problem)}</p>`}
  </section>`;
}

/** @param {Blob} file */
function save(file) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = `darkroom-${new Date().toISOString().slice(0, 10)}.zip`;
  link.click();
  // The browser reads it after this turn.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** The second step: what goes and what stays, and a word to type. @param {{onLeave: () => void}} props */
function Erasure({ onLeave }) {
  const { i18n, studio } = usePage();
  const [isBusy, setIsBusy] = useState(false);
  const [typed, setTyped] = useState('');
  const [problem, setProblem] = useProblem();
  const title = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => title.current?.focus(), []);
  const word = i18n.t('account.erase.word');
  /** @param {Event} event */
  const erase = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    if (typed.trim().toLowerCase() !== word.toLowerCase()) return setProblem({ code: 'erase_word' });
    setIsBusy(true);
    setProblem(null);
    try {
      await studio.erase();
      studio.leaveErased();
    } catch (error) {
      setProblem(asProblem(error));
      setIsBusy(false);
    }
  };
  return html`<form class="matter erasure" onSubmit=${erase}>
    <h3 tabindex="-1" ref=${title}>${i18n.t('account.erase.title')}</h3>
    <p>${i18n.t('account.erase.goes')}</p>
    <p>${i18n.t('account.erase.stays')}</p>
    <label class="field">
      <span>${i18n.t('account.erase.type', { word })}</span>
      <input
        data-testid="erase-word" autocomplete="off" autocapitalize="none" spellcheck=${false} value=${typed} aria-invalid=${Boolean(problem)}
        onInput=${(/** @type {any} */ event) => setTyped(event.target.value)}
      />
    </label>
    ${isBusy && html`<progress aria-label=${i18n.t('account.erase.busy')}></progress>`}
    ${problem && html`<p class="problem" role="alert" data-testid="account-error">${i18n.problem({ ...problem, values: { word } })}</p>`}
    <div class="window-bottom">
      <button type="button" class="quiet" data-testid="erase-leave" aria-disabled=${isBusy} onClick=${() => isBusy || onLeave()}>
        ${i18n.t('account.erase.leave')}
      </button>
      <button class="primary danger" data-testid="erase-confirm" aria-disabled=${isBusy}>${i18n.t('account.erase.confirm')}</button>
    </div>
  </form>`;
}
