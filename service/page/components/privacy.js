/** What happens to a person's photos, in words, before and after signing in. */

import { html, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { Window } from './window.js';

const MATTERS = ['way', 'gemini', 'location', 'kept', 'others', 'rights'];

/** The button that opens the note, and the note. */
export function PrivacyNote() {
  const { i18n, config } = usePage();
  const [isOpen, setIsOpen] = useState(false);
  return html`<button type="button" class="quiet" data-testid="privacy-open" aria-haspopup="dialog" onClick=${() => setIsOpen(true)}>
      ${i18n.t('privacy.title')}
    </button>
    ${isOpen &&
    html`<${Window} hook="privacy" title=${i18n.t('privacy.title')} onClose=${() => setIsOpen(false)}>
      ${config.demo && html`<p class="hint">${i18n.t(config.simulated.includes('gemini') ? 'privacy.demo' : 'privacy.demoGemini')}</p>`}
      <dl class="matters">
        ${MATTERS.map(
          (matter) => html`<div key=${matter}>
            <dt>${i18n.t(`privacy.${matter}.title`)}</dt>
            <dd>${i18n.t(`privacy.${matter}`)}</dd>
          </div>`,
        )}
      </dl>
    <//>`}`;
}
