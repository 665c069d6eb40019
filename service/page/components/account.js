/** The person's account: who is signed in, what is left of the day, the way out, and all that is kept of the person, to take or to erase. */

import { html, useEffect, useRef, useState } from '../vendor/preact-htm.js';
import { asProblem, usePage, useStore } from '../page.js';
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
  const { i18n, session } = usePage();
  const signOut = useSignOut();
  const [isErasing, setIsErasing] = useState(false);
  return html`<${Window} hook="account" title=${i18n.t('account.title')} onClose=${onClose}>
    <${Person} />
    ${isErasing
      ? html`<${Erasure} onLeave=${() => setIsErasing(false)} onErased=${signOut} />`
      : html`<${Export} />
          <section class="matter">
            <p>${i18n.t('account.erase.lead')}</p>
            <button type="button" class="small" data-testid="erase" onClick=${() => setIsErasing(true)}>${i18n.t('account.erase')}</button>
          </section>
          <div class="window-bottom">
            <${PrivacyNote} />
            <button type="button" data-testid="account-sign-out" onClick=${signOut}>${i18n.t('signOut')}</button>
          </div>`}
  <//>`;
}

function Person() {
  const { i18n, session, studio } = usePage();
  const { quota } = useStore(studio.store);
  return html`<dl class="account-facts">
    <dt>${i18n.t('account.name')}</dt>
    <dd data-testid="account-name">${session.name}</dd>
    ${session.email && session.email !== session.name && html`<dt>${i18n.t('account.email')}</dt><dd data-testid="account-email">${session.email}</dd>`}
    <dt>${i18n.t('account.today')}</dt>
    <dd data-testid="account-quota">
      ${quota ? i18n.t('quota.left', { left: i18n.number(quota.remainingQuota), limit: i18n.number(quota.dailyLimit) }) : '…'}
      ${quota?.resetsAt && html`<br /><small>${i18n.t('quota.resets', { when: i18n.soon(quota.resetsAt) })}</small>`}
    </dd>
  </dl>`;
}

/** Hands all over as one file. It goes on while the dialog is open. */
function Export() {
  const page = usePage();
  const { i18n, studio } = page;
  const [bytes, setBytes] = useState(/** @type {number | null} */ (null));
  const [said, setSaid] = useState('');
  const [problem, setProblem] = useState('');
  const leaving = useRef(new AbortController());
  useEffect(() => () => leaving.current.abort(), []);
  const isBusy = bytes !== null;
  const hand = async () => {
    if (isBusy) return;
    setBytes(0);
    setSaid('');
    setProblem('');
    try {
      save(await studio.api.exportMe(setBytes, leaving.current.signal));
      setSaid(i18n.t('account.export.done'));
    } catch (error) {
      if (!leaving.current.signal.aborted) setProblem(asProblem(page, error).text);
    }
    setBytes(null);
  };
  return html`<section class="matter">
    <p>${i18n.t('account.export.lead')}</p>
    <button type="button" class="small" data-testid="export" aria-disabled=${isBusy} onClick=${hand}>${i18n.t('account.export')}</button>
    ${isBusy && html`<progress aria-label=${i18n.t('account.export.busy')}></progress>`}
    <p role="status" data-testid="export-status">${bytes ? i18n.t('account.export.bytes', { size: i18n.megabytes(bytes) }) : said}</p>
    ${problem && html`<p class="problem" role="alert" data-testid="account-error">${problem}</p>`}
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

/**
 * The second step: what goes and what stays, and a word to type.
 * @param {{onLeave: () => void, onErased: () => void}} props
 */
function Erasure({ onLeave, onErased }) {
  const page = usePage();
  const [isBusy, setIsBusy] = useState(false);
  const { i18n, studio, announcer } = page;
  const [typed, setTyped] = useState('');
  const [problem, setProblem] = useState('');
  const title = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => title.current?.focus(), []);
  const word = i18n.t('account.erase.word');
  /** @param {Event} event */
  const erase = async (event) => {
    event.preventDefault();
    if (isBusy) return;
    if (typed.trim().toLowerCase() !== word.toLowerCase()) return setProblem(i18n.t('account.erase.wrongWord', { word }));
    setIsBusy(true);
    setProblem('');
    try {
      await studio.api.eraseMe();
      announcer.say(i18n.t('account.erase.done'));
      onErased();
    } catch (error) {
      setProblem(asProblem(page, error).text);
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
    ${problem && html`<p class="problem" role="alert" data-testid="account-error">${problem}</p>`}
    <div class="window-bottom">
      <button type="button" class="quiet" data-testid="erase-leave" aria-disabled=${isBusy} onClick=${() => isBusy || onLeave()}>
        ${i18n.t('account.erase.leave')}
      </button>
      <button class="primary danger" data-testid="erase-confirm" aria-disabled=${isBusy}>${i18n.t('account.erase.confirm')}</button>
    </div>
  </form>`;
}
