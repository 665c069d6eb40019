/** Where a zoomed picture lies: pure functions from one place to the next. */

const LARGEST = 8;

/**
 * @typedef {{scale: number, x: number, y: number}} ZoomView `x` and `y` are how far its middle is from the middle of the frame, in pixels
 * @typedef {{width: number, height: number}} Size
 */

/** @type {ZoomView} */
export const WHOLE = { scale: 1, x: 0, y: 0 };

/** @param {number} value @param {number} most */
const within = (value, most) => Math.min(most, Math.max(-most, value));

/** Keep the picture's edges from coming into the frame. @param {ZoomView} view @param {Size} frame @returns {ZoomView} */
function settled({ scale, x, y }, { width, height }) {
  return { scale, x: within(x, ((scale - 1) * width) / 2), y: within(y, ((scale - 1) * height) / 2) };
}

/**
 * Larger or smaller around a point, which stays where it is.
 * @param {ZoomView} view @param {number} factor @param {Size} frame @param {{x: number, y: number}} [at] from the frame's middle
 * @returns {ZoomView}
 */
export function zoomed(view, factor, frame, at = { x: 0, y: 0 }) {
  const scale = Math.min(LARGEST, Math.max(1, view.scale * factor));
  const grown = scale / view.scale;
  return settled({ scale, x: at.x - (at.x - view.x) * grown, y: at.y - (at.y - view.y) * grown }, frame);
}

/** @param {ZoomView} view @param {number} x @param {number} y @param {Size} frame @returns {ZoomView} */
export function panned(view, x, y, frame) {
  return settled({ ...view, x: view.x + x, y: view.y + y }, frame);
}
