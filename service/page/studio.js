/** What the page does for a signed-in person: follows the jobs, takes submissions, fetches history and downloads. */

import { DarkroomClient } from './darkroom-client.js';
import { Day } from './day.js';
import { Drafts } from './drafts.js';
import { Removals } from './removals.js';
import { SessionEnded } from './session.js';
import {
  Store,
  newestFirst,
  withAccepted,
  withCancellation,
  withConnection,
  withFreshLinks,
  withJob,
  withoutJob,
  withPage,
  withProgress,
  withSnapshot,
} from './store.js';
import { Submissions } from './submissions.js';
import { Toasts } from './toasts.js';

/** @typedef {import('./api.js').Api} Api */
/** @typedef {import('./store.js').Job} Job */
/** @typedef {{file: File, previewUrl: string, fileKey: string}} Photo `fileKey` is empty until the photo is stored */

const PAGE_SIZE = 100;
const CANCELED_AT_ONCE = 4;
/** The tab that has everything deleted has this lock meanwhile: only then may the others say that it was. */
const ERASING_LOCK = 'darkroom.erasing';
/** So far back one press goes for a pipeline's jobs among the others. */
const MOST_PAGES = 5;

export class Studio {
  store = new Store();
  submissions = new Submissions(this.store);
  toasts = new Toasts();
  /** A job changed before the reader's eyes. @type {(job: Job) => void} */ onJobNews = () => {};
  /** @type {Map<string, Promise<void>>} */ #readings = new Map();
  #isErasing = false;

  /** @param {Api} api */
  constructor(api) {
    this.api = api;
    this.subject = api.session.subject;
    this.drafts = new Drafts(sessionStorage, this.subject);
    this.day = new Day(api, this.store);
    this.removals = new Removals(api, this.store);
    this.client = new DarkroomClient({ token: (options) => this.#token(options) });
    this.#follow(this.client);
  }

  start() {
    this.client.connect();
    this.day.readSoon();
    addEventListener('pagehide', this.#leave);
    document.addEventListener('visibilitychange', this.#leave);
  }

  stop() {
    removeEventListener('pagehide', this.#leave);
    document.removeEventListener('visibilitychange', this.#leave);
    this.toasts.clear();
    this.client.close();
    this.submissions.stop();
    this.drafts.releaseAll();
    this.day.stop();
  }

  /** A tab that is hidden may never be shown again: what waits for a change of mind is done now. */
  #leave = (/** @type {Event} */ { type }) => {
    if (type === 'pagehide' || document.visibilityState === 'hidden') this.toasts.clear();
  };

  /** @param {{refused?: string}} options */
  async #token(options) {
    try {
      return await this.api.session.token(options);
    } catch (error) {
      if (error instanceof SessionEnded) return null;
      throw error;
    }
  }

  /** @param {DarkroomClient} client */
  #follow(client) {
    client.on('state', ({ state, code }) => this.#takeState(state, code));
    client.on('snapshot', (snapshot) => this.#takeSnapshot(snapshot));
    client.on('job', ({ job, time }) => this.#takeJob(job, time));
    client.on('progress', (progress) => this.store.update((state) => withProgress(state, progress, progress)));
    client.on('quota', (quota) => this.day.take(quota));
    client.on('degraded', ({ parts }) => this.store.update((state) => ({ ...state, degraded: parts })));
    client.on('deleted', (job) => this.store.update((state) => withoutJob(state, job)));
  }

  /** @param {import('./darkroom-line.js').State} state @param {number | string} [code] */
  #takeState(state, code) {
    const isErased = code === 'account_erased';
    // This very tab is about to say so itself, once it is true.
    if (isErased && this.#isErasing) return;
    this.store.update((before) => withConnection(before, state, code));
    const { session } = this.api;
    if (state === 'signed-out' && session.name) session.expire();
    if (isErased) void navigator.locks.request(ERASING_LOCK, () => this.leaveErased());
  }

  /** Have all that is kept of the person deleted. @throws {import('./api.js').ApiError} */
  async erase() {
    this.#isErasing = true;
    try {
      await navigator.locks.request(ERASING_LOCK, () => this.api.eraseMe());
    } catch (error) {
      // The news were cut off when it began.
      this.client.connect();
      throw error;
    } finally {
      this.#isErasing = false;
    }
  }

  /** Sign out an account of which nothing is left, and leave nothing behind in this tab. */
  leaveErased() {
    this.drafts.forget();
    if (this.api.session.subject === this.subject) this.api.session.signOut({ isErased: true });
  }

  /** @param {string | undefined} time of the service, which may differ from this machine's */
  #setClock(time) {
    if (!time) return;
    const clockOffset = Date.parse(time) - Date.now();
    const isDrift = Math.abs(clockOffset - this.store.state.clockOffset) > 1_000;
    if (isDrift) this.store.update((state) => ({ ...state, clockOffset }));
  }

  /** @param {import('./darkroom-client.js').Details['snapshot']} snapshot */
  #takeSnapshot(snapshot) {
    this.#setClock(snapshot.time);
    this.store.update((state) => withSnapshot(state, snapshot));
    this.day.expectReset();
  }

  /** @param {Job} job @param {string} [time] */
  #takeJob(job, time) {
    this.#setClock(time);
    const before = this.store.state;
    this.store.update((state) => withJob(state, job));
    if (this.store.state === before) return;
    this.onJobNews(job);
    // A job taken in or given back moves the day's number, which is not told by polling.
    if (this.client.state === 'polling' && job.status !== 'processing') this.day.readSoon();
  }

  /**
   * Have a view's wish sent; see `Submissions.submit`.
   * @param {import('./submissions.js').Wish} wish
   * @param {import('./submissions.js').Send} send
   */
  submit(wish, send) {
    this.toasts.clearHints();
    return this.#count(() => this.submissions.submit(wish, send));
  }

  /** Send once more what is on its way; see `Submissions.resend`. @param {number} id */
  resend(id) {
    return this.#count(() => this.submissions.resend(id));
  }

  /** Keep the day's number right over a submission. @param {() => Promise<import('./submissions.js').Accepted | null>} work */
  async #count(work) {
    try {
      const accepted = await work();
      this.day.note(accepted && 'remainingQuota' in accepted ? accepted.remainingQuota : undefined);
    } catch (error) {
      this.day.readSoon();
      throw error;
    }
  }

  /** Cancel a job, and note what that came to. @param {string} jobId */
  async cancel(jobId) {
    const canceled = await this.client.cancel(jobId);
    this.store.update((state) => withCancellation(state, canceled));
    return canceled;
  }

  /**
   * Cancel several jobs, a few at a time.
   * @param {string[]} jobIds @returns {Promise<{canceled: number, tooLate: number, failed: number}>}
   */
  async cancelAll(jobIds) {
    const counts = { canceled: 0, tooLate: 0, failed: 0 };
    const waiting = [...jobIds];
    const work = async () => {
      for (let jobId = waiting.shift(); jobId; jobId = waiting.shift()) {
        const outcome = await this.cancel(jobId).then((said) => said.outcome, () => 'failed');
        counts[outcome === 'failed' ? 'failed' : outcome === 'too_late' ? 'tooLate' : 'canceled'] += 1;
      }
    };
    await Promise.all(Array.from({ length: CANCELED_AT_ONCE }, work));
    return counts;
  }

  /** Start a new job of an ended one's input. @param {Job} job */
  async retry({ jobId, pipeline, style, prompt, parameters }) {
    const accepted = await this.submissions.wishes.ask({ retryOf: jobId }, (key) => this.api.retry(jobId, key));
    const asked = { pipeline, style, prompt, parameters };
    this.store.update((state) => withAccepted(state, accepted, asked, state.previews.get(jobId)));
    this.day.note(accepted.remainingQuota);
  }

  /** Fetch history until more of that pipeline's jobs are there, or there is no more. @param {string} pipeline */
  async loadMore(pipeline) {
    const known = newestFirst(this.store.state, pipeline).length;
    for (let pages = 0; pages < MOST_PAGES; pages += 1) {
      await this.#loadPage();
      const { state } = this.store;
      if (!state.hasMore || newestFirst(state, pipeline).length > known) return;
    }
  }

  /** Fetch the next page of history. The first one starts anew: a snapshot has no cursor to go on from. */
  async #loadPage() {
    const page = await this.api.jobs({ cursor: this.store.state.cursor, limit: PAGE_SIZE });
    this.client.learn(page.jobs);
    this.store.update((state) => withPage(state, page));
  }

  /**
   * Read a job again for links that work; its two pictures share one reading.
   * @param {string} jobId @returns {Promise<void>}
   */
  refreshLinks(jobId) {
    const reading = this.#readings.get(jobId) ?? this.#readJob(jobId).finally(() => this.#readings.delete(jobId));
    this.#readings.set(jobId, reading);
    return reading;
  }

  /** @param {string} jobId */
  async #readJob(jobId) {
    const job = await this.api.job(jobId);
    this.store.update((state) => withFreshLinks(state, job));
  }
}
