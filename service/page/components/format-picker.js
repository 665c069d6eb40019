/** How a portrait is cut, as small shapes, and the colour behind the person. */

import { html } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { faultOf } from './composer.js';

/**
 * @typedef {{id: string, ratio?: [number, number]}} Format
 * @typedef {{id: string, color: string}} Background
 */

const FIRST_OWN_COLOUR = '#8fb3d9';

/** @param {{formats: Format[], chosen: string, onChoose: (id: string) => void}} props */
export function FormatPicker({ formats, chosen, onChoose }) {
  const { i18n } = usePage();
  return html`<fieldset class="formats">
    <legend>${i18n.t('format.title')}</legend>
    <div class="format-cards">
      ${formats.map(
        ({ id, ratio }) => html`<label class="style-card format-card" key=${id}>
          <input type="radio" name="format" value=${id} data-testid=${`format-${id}`} checked=${id === chosen} onChange=${() => onChoose(id)} />
          <span>
            <i class="shape" aria-hidden="true" data-free=${!ratio} style=${{ '--shape': (ratio ?? [1, 1]).join(' / ') }}></i>
            ${i18n.firstOf([`format.${id}`], id)}
          </span>
        </label>`,
      )}
    </div>
  </fieldset>`;
}

/**
 * @param {{form: import('./composer.js').Form, backgrounds: Background[], chosen: string, onChoose: (background: string) => void}} props
 *   `chosen` is a background's id, a colour, or empty for the style's own
 */
export function BackgroundPicker({ form, backgrounds, chosen, onChoose }) {
  const { i18n } = usePage();
  const isOwn = chosen.startsWith('#');
  /** @param {string} id @param {string} words @param {string} [color] */
  const swatch = (id, words, color) => html`<label class="swatch" key=${id} title=${words}>
    <input
      type="radio" name="background" value=${id} data-testid=${`background-${id || 'style'}`} checked=${id === chosen} aria-label=${words}
      onChange=${() => onChoose(id)}
    />
    <i aria-hidden="true" data-none=${!color} style=${{ '--color': color ?? 'transparent' }}></i>
  </label>`;
  const pick = (/** @type {any} */ { target }) => {
    form.touch('background-own');
    onChoose(target.value);
  };
  return html`<fieldset class="backgrounds" data-testid="backgrounds">
    <legend>${i18n.t('background.title')}</legend>
    <div class="swatches">
      ${swatch('', i18n.t('background.style'))}
      ${backgrounds.map(({ id, color }) => swatch(id, i18n.firstOf([`background.${id}`], id), color))}
      <label class="own-colour" data-chosen=${isOwn}>
        <input
          type="color" data-testid="background-own" value=${isOwn ? chosen : FIRST_OWN_COLOUR} onInput=${pick} ...${faultOf(form.problem, 'background-own')}
        />
        <span>${i18n.t('background.own')}</span>
      </label>
    </div>
    <p class="style-description">${isOwn ? chosen : i18n.firstOf([`background.${chosen}`], i18n.t('background.style'))}</p>
  </fieldset>`;
}
