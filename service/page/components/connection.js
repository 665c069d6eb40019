/** How news of the jobs comes in just now, and what that means; and why none does, where the service refuses this person. */

import { html, useEffect, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { goOnAt } from './focus.js';

const NOTE_ID = 'connection-note';

/** The browser opens and closes the note. @param {{connection: string}} props */
export function Connection({ connection }) {
  const { i18n } = usePage();
  const meaning = i18n.t(`connection.${connection}.meaning`);
  return html`<span class="connection" role="status" data-testid="connection" data-state=${connection}>
      <button type="button" class="quiet" popovertarget=${NOTE_ID} title=${meaning}>${i18n.t(`connection.${connection}`)}</button>
    </span>
    <div popover="auto" class="hanging-note" id=${NOTE_ID} data-testid="connection-note">${meaning}</div>`;
}

/** Why the service refuses this person. @param {import('../i18n.js').I18n} i18n @param {string} code */
export function refusalWords(i18n, code) {
  return i18n.firstOf([`refusal.${code}`], i18n.t('refusal.forbidden'));
}

/** The region stays when it is empty: an alert is heard only where one was expected. @param {{studio: import('../studio.js').Studio, code: string}} props */
export function Refusal({ studio, code }) {
  const { i18n } = usePage();
  const [isTrying, setIsTrying] = useState(false);
  useEffect(() => studio.client.on('state', ({ state }) => state !== 'connecting' && setIsTrying(false)), [studio]);
  // The button may have had the focus.
  useEffect(() => () => void (code && requestAnimationFrame(() => goOnAt('composer-title'))), [code]);
  const retry = () => {
    if (isTrying) return;
    setIsTrying(true);
    studio.client.connect();
  };
  return html`<div class="degraded" role="alert" data-testid="refusal">
    ${code &&
    html`<p>
      <strong>${refusalWords(i18n, code)}</strong> ${code === 'user_blocked' && i18n.t('refusal.hint')}${' '}
      <button type="button" class="small" data-testid="refusal-retry" aria-disabled=${isTrying} onClick=${retry}>
        ${i18n.t(isTrying ? 'refusal.trying' : 'refusal.retry')}
      </button>
    </p>`}
  </div>`;
}
