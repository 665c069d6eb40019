/** The day's quota: noted as it is told, and read where it is not, such as when the day ends. */

const DELAY_MS = 400;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** @typedef {import('./store.js').Quota} Quota */

export class Day {
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #midnightTimer;

  /** @param {import('./api.js').Api} api @param {import('./store.js').Store} store */
  constructor(api, store) {
    this.api = api;
    this.store = store;
  }

  stop() {
    clearTimeout(this.#timer);
    clearTimeout(this.#midnightTimer);
  }

  /** Read the quota in a moment, once for all who ask. */
  readSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#read(), DELAY_MS);
  }

  /** @param {Quota} quota */
  take(quota) {
    this.store.update((state) => ({ ...state, quota }));
    this.expectReset();
  }

  /** Without a number the one on show stays until it is read anew. @param {number | null | undefined} remainingQuota */
  note(remainingQuota) {
    if (typeof remainingQuota !== 'number') return this.readSoon();
    const { quota } = this.store.state;
    if (quota) this.store.update((state) => ({ ...state, quota: { ...quota, remainingQuota } }));
  }

  /** Read the number again when the day ends. */
  expectReset() {
    const { quota, clockOffset } = this.store.state;
    if (!quota?.resetsAt) return;
    const milliseconds = Date.parse(quota.resetsAt) - clockOffset - Date.now();
    clearTimeout(this.#midnightTimer);
    if (milliseconds < 0 || milliseconds > LONGEST_TIMER_MS) return;
    this.#midnightTimer = setTimeout(() => this.readSoon(), milliseconds);
  }

  async #read() {
    try {
      const { dailyLimit, usedToday, remainingQuota, quotaResetsAt } = await this.api.me();
      this.take({ dailyLimit, usedToday, remainingQuota, resetsAt: quotaResetsAt });
    } catch {
      // The number on show stays; the next job or snapshot brings a new one.
    }
  }
}
