/** A picture as large as the screen, and larger: by wheel, fingers, buttons or keys. */

import { html, useRef, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { WHOLE, panned, zoomed } from '../zoom-view.js';
import { Picture } from './compare.js';
import { Dialog, closeAround } from './dialog.js';

/** @typedef {import('../zoom-view.js').ZoomView} ZoomView */
/** @typedef {{x: number, y: number}} Point */

const STEP = 1.5;
const CLOSE_UP = 2.5;
const KEY_PIXELS = 60;
/** What a key does to the view. @type {Record<string, {by?: number, x?: number, y?: number}>} */
const KEYS = {
  '+': { by: STEP },
  '=': { by: STEP },
  '-': { by: 1 / STEP },
  0: { by: 0 },
  ArrowLeft: { x: KEY_PIXELS },
  ArrowRight: { x: -KEY_PIXELS },
  ArrowUp: { y: KEY_PIXELS },
  ArrowDown: { y: -KEY_PIXELS },
};

/** @param {Point[]} points */
const spread = ([one, other]) => Math.hypot(one.x - other.x, one.y - other.y);

/** The view, and what moves it. */
function useZoom() {
  const frame = useRef(/** @type {HTMLElement | null} */ (null));
  const [view, setView] = useState(WHOLE);
  const fingers = useRef(/** @type {Map<number, Point>} */ (new Map()));
  const size = () => frame.current?.getBoundingClientRect() ?? new DOMRect();
  /** From the frame's middle. @param {{clientX: number, clientY: number}} event */
  const placeOf = ({ clientX, clientY }) => {
    const { left, top, width, height } = size();
    return { x: clientX - left - width / 2, y: clientY - top - height / 2 };
  };
  /** @param {number} factor none is the whole @param {Point} [at] */
  const zoom = (factor, at) => setView((/** @type {ZoomView} */ before) => (factor ? zoomed(before, factor, size(), at) : WHOLE));
  /** @param {number} x @param {number} y */
  const pan = (x, y) => setView((/** @type {ZoomView} */ before) => panned(before, x, y, size()));
  /** @param {WheelEvent} event */
  const onWheel = (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), placeOf(event));
  };
  /** @param {PointerEvent} event */
  const onPointerDown = (event) => {
    frame.current?.setPointerCapture(event.pointerId);
    fingers.current.set(event.pointerId, placeOf(event));
  };
  /** @param {PointerEvent} event */
  const onPointerMove = (event) => {
    const before = fingers.current.get(event.pointerId);
    if (!before) return;
    const [now, apart] = [placeOf(event), [...fingers.current.values()]];
    fingers.current.set(event.pointerId, now);
    if (apart.length === 1) pan(now.x - before.x, now.y - before.y);
    else zoom(spread([...fingers.current.values()]) / Math.max(1, spread(apart)), now);
  };
  /** @param {PointerEvent} event */
  const onPointerUp = ({ pointerId }) => void fingers.current.delete(pointerId);
  /** @param {MouseEvent} event */
  const onDblClick = (event) => zoom(view.scale > 1 ? 0 : CLOSE_UP, placeOf(event));
  /** @param {KeyboardEvent} event */
  const onKeyDown = (event) => {
    const key = KEYS[event.key];
    if (!key || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (key.by !== undefined) zoom(key.by);
    else pan(key.x ?? 0, key.y ?? 0);
  };
  const handlers = { onWheel, onPointerDown, onPointerMove, onPointerUp, onPointerCancel: onPointerUp, onDblClick };
  return { frame, view, zoom, handlers, onKeyDown };
}

/**
 * @param {{src: string, original?: string, id: string, name: string, words: string, onRefresh: () => Promise<unknown>, onClose: () => void}} props
 *   `words` say what the picture is; `original` can be looked at as well
 */
export function ZoomDialog({ src, original, id, name, words, onRefresh, onClose }) {
  const { i18n } = usePage();
  const [isOriginal, setIsOriginal] = useState(false);
  const { frame, view, zoom, handlers, onKeyDown } = useZoom();
  const place = { '--scale': String(view.scale), '--x': `${view.x}px`, '--y': `${view.y}px` };
  /** @param {string} action @param {string} sign @param {number} factor */
  const button = (action, sign, factor) => html`<button
    type="button" data-testid=${`zoom-${action}`} aria-label=${i18n.t(`zoom.${action}`)} onClick=${() => zoom(factor)}
  >
    <span aria-hidden="true">${sign}</span>
  </button>`;
  return html`<${Dialog} testId="zoom-dialog" labelId=${`zoom-${id}`} className="zoom" onClose=${onClose} onKeyDown=${onKeyDown}>
    <div class="zoom-top">
      <h2 id=${`zoom-${id}`}>${name}</h2>
      <output class="zoom-scale" data-testid="zoom-scale">${i18n.percent(view.scale)}</output>
      <span class="zoom-buttons">
        ${button('out', '−', 1 / STEP)} ${button('in', '+', STEP)} ${button('whole', '⤢', 0)}
        ${original &&
        html`<button type="button" data-testid="zoom-original" aria-pressed=${String(isOriginal)} onClick=${() => setIsOriginal(!isOriginal)}>
          ${i18n.t('compare.before')}
        </button>`}
        <button type="button" data-testid="zoom-close" onClick=${closeAround}>${i18n.t('zoom.close')}</button>
      </span>
    </div>
    <div class="zoom-frame" ref=${frame} style=${place} data-scale=${view.scale} ...${handlers}>
      <${Picture}
        testId="zoom-image" src=${isOriginal ? original : src} alt=${isOriginal ? i18n.t('picture.original') : words} onRefresh=${onRefresh}
      />
    </div>
  <//>`;
}
