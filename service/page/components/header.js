/** The top line: the name, the connection, what is simulated, the language and the person. */

import { html, useEffect, useRef } from '../vendor/preact-htm.js';
import { LANGUAGES } from '../i18n.js';
import { usePage } from '../page.js';
import { Connection } from './connection.js';
import { Account, useSignOut } from './account.js';

export function Brand() {
  return html`<span class="brand">
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <path class="lamp-cord" d="M16 2v8" />
      <path class="lamp-shade" d="M7 20a9 9 0 0 1 18 0z" />
      <path class="lamp-light" d="M9.5 22.5h13l5 8h-23z" />
    </svg>
    Darkroom
  </span>`;
}

export function LanguageSwitch() {
  const { i18n } = usePage();
  return html`<button type="button" class="quiet" data-testid="language" lang=${i18n.other} onClick=${() => i18n.choose(i18n.other)}>
    ${LANGUAGES[i18n.other]}
  </button>`;
}

/** The sentences that say what is not real here. */
export function Simulated() {
  const { i18n, config } = usePage();
  return html`<p>${i18n.t('demo.intro')}</p>
    <ul>
      ${config.simulated.map((part) => html`<li key=${part}>${i18n.firstOf([`demo.${part}`], part)}</li>`)}
    </ul>`;
}

/**
 * Have a note that hangs over the page close when Esc is pressed, and when the focus or the pointer goes elsewhere.
 * Not every browser gives the focus to what is pressed, so the page is listened to, not the note.
 * @returns {{current: HTMLDetailsElement | null}}
 */
function useHangingNote() {
  const note = useRef(/** @type {HTMLDetailsElement | null} */ (null));
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    /** @param {Event} event */
    const closeWhenElsewhere = ({ target }) => {
      if (note.current?.open && !note.current.contains(/** @type {Node} */ (target))) note.current.open = false;
    };
    /** @param {KeyboardEvent} event */
    const closeOnEscape = ({ key }) => {
      if (key !== 'Escape' || !note.current?.open) return;
      if (note.current.contains(document.activeElement)) note.current.querySelector('summary')?.focus();
      note.current.open = false;
    };
    document.addEventListener('pointerdown', closeWhenElsewhere, { signal });
    document.addEventListener('focusin', closeWhenElsewhere, { signal });
    document.addEventListener('keydown', closeOnEscape, { signal });
    return () => controller.abort();
  }, []);
  return note;
}

export function DemoBadge() {
  const { i18n, config } = usePage();
  const note = useHangingNote();
  if (!config.demo) return null;
  return html`<details class="demo" ref=${note}>
    <summary data-testid="demo-badge" aria-label=${i18n.t('demo.label')}>DEMO</summary>
    <div class="demo-note"><${Simulated} /></div>
  </details>`;
}

/** @param {{connection: string}} props */
export function Header({ connection }) {
  const { i18n } = usePage();
  const signOut = useSignOut();
  return html`<header class="top">
    <h1><${Brand} /></h1>
    <${Connection} connection=${connection} />
    <${DemoBadge} />
    <span class="person">
      <${Account} />
      <button type="button" class="quiet" data-testid="sign-out" onClick=${signOut}>${i18n.t('signOut')}</button>
      <${LanguageSwitch} />
    </span>
  </header>`;
}

/** What is wrong with the service just now. The region stays when it is empty: news is heard only where it was expected. */
export function Degraded(/** @type {{parts: import('../store.js').Degradation[]}} */ { parts }) {
  const { i18n } = usePage();
  const reasons = parts.map(({ condition, reason }) => i18n.firstOf([`degraded.${condition}`], reason));
  return html`<div class="degraded" role="status" data-testid="degraded">
    ${reasons.length > 0 && html`<p><strong>${i18n.t('degraded')}</strong> ${[...new Set(reasons)].join(' ')}</p>`}
  </div>`;
}
