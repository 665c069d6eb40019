/** Speaks to screen readers: news politely and not too often, alarms at once. */

const PAUSE_MS = 3_000;
/** What comes so soon after an alarm is said with it, or it would be said alone. */
const TOGETHER_MS = 1_000;
/** Of more at once, the newest: nobody listens to a list. */
const MOST_AT_ONCE = 5;

export class Announcer {
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {Map<string, string>} */ #next = new Map();
  /** @type {{words: string, at: number}[]} */ #alarms = [];

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
    const now = performance.now();
    const recent = this.#alarms.filter(({ at }) => now - at < TOGETHER_MS);
    this.#alarms = [...recent, { words, at: now }].slice(-MOST_AT_ONCE);
    this.alarm.textContent = this.#alarms.map((alarm) => alarm.words).join(' ');
  }

  #speak() {
    this.polite.textContent = [...this.#next.values()].join(' ');
    this.#next.clear();
    return setTimeout(() => {
      this.#timer = this.#next.size > 0 ? this.#speak() : undefined;
    }, PAUSE_MS);
  }
}
