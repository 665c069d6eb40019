/** Short notes at the edge of the page: each goes by itself, but not while the person is at them. */

/**
 * @typedef {{words: string, action?: {label: string, act: () => void}, onGone?: () => void, isHint?: boolean}} Note `onGone` is
 *   called when it goes without its action; a hint says what to do next
 * @typedef {Note & {id: number}} Toast
 */

const SHOWN_MS = 6_000;
const MOST_SHOWN = 3;

export class Toasts {
  /** @type {Toast[]} */ shown = [];
  #count = 0;
  #isHeld = false;
  /** @type {Map<number, ReturnType<typeof setTimeout>>} */ #timers = new Map();
  /** @type {Set<() => void>} */ #subscribers = new Set();

  /** @param {Note} note @returns {number} its id */
  show(note) {
    const id = (this.#count += 1);
    this.shown = [...this.shown, { ...note, id }];
    if (this.shown.length > MOST_SHOWN) this.dismiss(this.shown[0].id);
    if (!this.#isHeld) this.#expire(id);
    this.#notify();
    return id;
  }

  /** Let one go. @param {number} id */
  dismiss(id) {
    this.#take(id)?.onGone?.();
  }

  /** Do what one offers, and let it go. @param {number} id */
  act(id) {
    this.#take(id)?.action?.act();
  }

  /** The newest one that offers something. @returns {Toast | undefined} */
  get offer() {
    return this.shown.findLast(({ action }) => action);
  }

  /** The person is at them, or has left. @param {boolean} isHeld */
  hold(isHeld) {
    if (isHeld === this.#isHeld) return;
    this.#isHeld = isHeld;
    this.#timers.forEach((timer) => clearTimeout(timer));
    this.#timers.clear();
    if (!isHeld) this.shown.forEach(({ id }) => this.#expire(id));
  }

  /** Let those go that say what to do next: it was done. */
  clearHints() {
    for (const { id, isHint } of this.shown) if (isHint) this.dismiss(id);
  }

  /** Let all go at once. */
  clear() {
    for (const { id } of this.shown) this.dismiss(id);
    this.#isHeld = false;
  }

  /** @param {() => void} notify @returns {() => void} ends the subscription */
  subscribe(notify) {
    this.#subscribers.add(notify);
    return () => void this.#subscribers.delete(notify);
  }

  /** @param {number} id */
  #expire(id) {
    this.#timers.set(id, setTimeout(() => this.dismiss(id), SHOWN_MS));
  }

  /** @param {number} id @returns {Toast | undefined} */
  #take(id) {
    const toast = this.shown.find((each) => each.id === id);
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
    this.shown = this.shown.filter((each) => each !== toast);
    if (this.shown.length === 0) this.#isHeld = false;
    this.#notify();
    return toast;
  }

  #notify() {
    this.#subscribers.forEach((notify) => notify());
  }
}
