/** Deletes jobs a little later than they disappear, so that the person can change their mind; at once when the tab goes away. */

import { withHidden, withoutHidden, withoutJob } from './store.js';

/** @typedef {{token: string, onFailed: (error: unknown) => void}} Removal */

export class Removals {
  /** @type {Map<string, Removal>} */ #open = new Map();

  /** @param {import('./api.js').Api} api @param {import('./store.js').Store} store */
  constructor(api, store) {
    this.api = api;
    this.store = store;
  }

  /** Hide a job that is to be deleted. @param {string} jobId @param {(error: unknown) => void} onFailed it is shown again then */
  begin(jobId, onFailed) {
    /** @type {Removal} */
    const removal = { token: '', onFailed };
    this.#open.set(jobId, removal);
    this.store.update((state) => withHidden(state, jobId));
    // Asked for now: a tab that goes away cannot wait for it.
    this.api.session.token().then(
      (token) => Object.assign(removal, { token }),
      () => {},
    );
  }

  /** @param {string} jobId @returns {boolean} whether it was not too late */
  undo(jobId) {
    const isOpen = this.#open.delete(jobId);
    if (isOpen) this.store.update((state) => withoutHidden(state, jobId));
    return isOpen;
  }

  /** Delete it now; one that is gone already is as good. @param {string} jobId */
  async finish(jobId) {
    const removal = this.#open.get(jobId);
    if (!removal) return;
    this.#open.delete(jobId);
    try {
      await this.api.deleteJob(jobId, removal.token);
    } catch (error) {
      if (/** @type {any} */ (error).code !== 'job_not_found') {
        this.store.update((state) => withoutHidden(state, jobId));
        removal.onFailed(error);
        return;
      }
    }
    this.store.update((state) => withoutJob(state, { jobId }));
  }
}
