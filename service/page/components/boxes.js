/** A photo with boxes over it, in the photo's own pixels. */

import { html } from '../vendor/preact-htm.js';
import { Picture } from './compare.js';

/** @typedef {{x: number, y: number, width: number, height: number}} Box in pixels of the photo as its viewer sees it */
/** @typedef {{width: number, height: number}} Size */
/** @typedef {import('../i18n.js').I18n} I18n */

const ROWS = ['top', 'middle', 'bottom'];
const COLUMNS = ['left', 'centre', 'right'];
/** The number beside a box, as a part of the photo's shorter side. */
const LABEL_SHARE = 0.05;

/** The third that a place is in. @param {number} place @param {number} length @param {string[]} names */
function third(place, length, names) {
  return names[Math.min(2, Math.max(0, Math.floor((3 * place) / length)))];
}

/** Where a box is and how large, for who does not see it. @param {I18n} i18n @param {Box} box @param {Size} size */
export function boxWords(i18n, { x, y, width, height }, size) {
  const row = third(y + height / 2, size.height, ROWS);
  const column = third(x + width / 2, size.width, COLUMNS);
  return i18n.t('box.words', { where: i18n.t(`box.${row}.${column}`), width: i18n.number(width), height: i18n.number(height) });
}

/**
 * @param {{src?: string, alt: string, size: Size, boxes: Box[], words: string, isNumbered?: boolean,
 *   onRefresh: () => Promise<unknown>}} props `words` say what the boxes show
 */
export function BoxedPhoto({ src, alt, size, boxes, words, isNumbered = false, onRefresh }) {
  const { width, height } = size;
  return html`<div class="sheet boxed" style=${{ '--shape': `${width} / ${height}` }}>
    ${src && html`<${Picture} testId="original-image" src=${src} alt=${alt} onRefresh=${onRefresh} />`}
    <svg class="boxes" viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${words} data-testid="boxes">
      ${boxes.map((box, index) => html`<${BoxMark} key=${index} box=${box} size=${size} label=${isNumbered ? index + 1 : ''} />`)}
    </svg>
  </div>`;
}

/** @param {{box: Box, size: Size, label: string | number}} props */
function BoxMark({ box, size, label }) {
  const letters = LABEL_SHARE * Math.min(size.width, size.height);
  // Above its box, or inside where there is no room above.
  const baseline = box.y > letters * 1.2 ? box.y - letters * 0.25 : box.y + letters;
  const { x, y, width, height } = box;
  return html`<g>
    <rect class="box-ground" x=${x} y=${y} width=${width} height=${height} />
    <rect class="box" x=${x} y=${y} width=${width} height=${height} data-testid="box" />
    ${label !== '' && html`<text class="box-label" x=${x} y=${baseline} font-size=${letters}>${label}</text>`}
  </g>`;
}
