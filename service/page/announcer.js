/** Speaks to screen readers: news politely and not too often, alarms at once. */

const PAUSE_MS = 3_000;
/** Of more at once, the newest: nobody listens to a list. */
const MOST_AT_ONCE = 5;

export class Announcer {
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {Map<string, string>} */ #next = new Map();

  /** @param {HTMLElement} polite @param {HTMLElement} alarm */
  constructor(polite, alarm) {
    this.polite = polite;
    this.alarm = alarm;
  }

  /**
   * Say this when the last words have had their time; the newest replaces what still waits of the same matter.
   * @param {string} words @param {string} [matter]
   */
  say(words, matter = '') {
    this.#next.delete(matter);
    this.#next.set(matter, words);
    if (this.#next.size > MOST_AT_ONCE) this.#next.delete([...this.#next.keys()][0]);
    this.#timer ??= this.#speak();
  }

  /** @param {string} words */
  alert(words) {
    this.alarm.textContent = words;
  }

  #speak() {
    this.polite.textContent = [...this.#next.values()].join(' ');
    this.#next.clear();
    return setTimeout(() => {
      this.#timer = this.#next.size > 0 ? this.#speak() : undefined;
    }, PAUSE_MS);
  }
}
