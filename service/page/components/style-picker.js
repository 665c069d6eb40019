/** The styles, as a group of radio buttons that look like cards. */

import { html } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';

/**
 * @typedef {{id: string, name: Record<string, string>, description: Record<string, string>, default?: boolean, takesBackground?: boolean}} Style
 * @param {{styles: Style[], chosen: string, onChoose: (id: string) => void}} props
 */
export function StylePicker({ styles, chosen, onChoose }) {
  const { i18n } = usePage();
  const description = styles.find(({ id }) => id === chosen)?.description[i18n.language];
  return html`<fieldset class="styles">
    <legend>${i18n.t('styles.title')}</legend>
    <div class="style-cards">
      ${styles.map(
        ({ id, name }) => html`<label class="style-card" key=${id}>
          <input
            type="radio" name="style" value=${id} data-testid=${`style-${id}`} checked=${id === chosen}
            onChange=${() => onChoose(id)}
          />
          <span>${name[i18n.language]}</span>
        </label>`,
      )}
    </div>
    <p class="style-description">${description}</p>
  </fieldset>`;
}
