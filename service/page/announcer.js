/** Speaks to screen readers: news politely and not too often, alarms at once. */

const PAUSE_MS = 3_000;

export class Announcer {
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #next = '';

  /** @param {HTMLElement} polite @param {HTMLElement} alarm */
  constructor(polite, alarm) {
    this.polite = polite;
    this.alarm = alarm;
  }

  /** Say this when the last words have had their time; the newest replaces what still waits. @param {string} words */
  say(words) {
    this.#next = words;
    this.#timer ??= this.#speak();
  }

  /** @param {string} words */
  alert(words) {
    this.alarm.textContent = words;
  }

  #speak() {
    this.polite.textContent = this.#next;
    this.#next = '';
    return setTimeout(() => {
      this.#timer = this.#next ? this.#speak() : undefined;
    }, PAUSE_MS);
  }
}
