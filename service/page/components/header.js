/** The top line: the name, the connection, what is simulated, the language and the person. */

import { html } from '../vendor/preact-htm.js';
import { LANGUAGES } from '../i18n.js';
import { usePage } from '../page.js';

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

/** @param {KeyboardEvent} event */
function closeOnEscape(event) {
  const details = /** @type {HTMLDetailsElement} */ (event.currentTarget);
  if (event.key !== 'Escape' || !details.open) return;
  details.open = false;
  details.querySelector('summary')?.focus();
}

/** @param {FocusEvent} event */
function closeWhenLeft(event) {
  const details = /** @type {HTMLDetailsElement} */ (event.currentTarget);
  if (!details.contains(/** @type {Node | null} */ (event.relatedTarget))) details.open = false;
}

export function DemoBadge() {
  const { i18n, config } = usePage();
  if (!config.demo) return null;
  return html`<details class="demo" onKeyDown=${closeOnEscape} onFocusOut=${closeWhenLeft}>
    <summary data-testid="demo-badge" aria-label=${i18n.t('demo.label')}>DEMO</summary>
    <div class="demo-note"><${Simulated} /></div>
  </details>`;
}

/** @param {{connection: string}} props */
export function Header({ connection }) {
  const { i18n, session, studio } = usePage();
  const signOut = () => {
    studio.drafts.forget();
    session.signOut();
  };
  return html`<header class="top">
    <h1><${Brand} /></h1>
    <span class="connection" role="status" data-testid="connection" data-state=${connection}>
      ${i18n.t(`connection.${connection}`)}
    </span>
    <${DemoBadge} />
    <span class="person">
      <span class="person-name" title=${session.name}>${session.name}</span>
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
