/** A position without a map: degrees with the side of the world, and a button that copies them. */

import { html } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { CopyButton } from './card-parts.js';

const DIGITS = { minimumFractionDigits: 5, maximumFractionDigits: 5 };

/** @param {import('../i18n.js').I18n} i18n @param {number} latitude @param {number} longitude */
export function degreesWords(i18n, latitude, longitude) {
  /** @param {number} value @param {string} positive @param {string} negative */
  const part = (value, positive, negative) => `${i18n.number(Math.abs(value), DIGITS)}° ${value < 0 ? negative : positive}`;
  return `${part(latitude, 'N', 'S')}, ${part(longitude, 'E', 'W')}`;
}

/** @param {{latitude: number, longitude: number}} props */
export function Place({ latitude, longitude }) {
  const { i18n } = usePage();
  const words = degreesWords(i18n, latitude, longitude);
  return html`<span class="place" data-testid="place">${words}</span>
    <${CopyButton} words=${`${latitude}, ${longitude}`} label=${i18n.t('place.copy', { place: words })} testId="copy-place" />`;
}
