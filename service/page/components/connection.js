/** How news of the jobs comes in just now, and what that means. */

import { html } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';

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
