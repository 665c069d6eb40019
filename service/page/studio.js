/** What the page does for a signed-in person: follows the jobs, submits photos, fetches history and downloads. */

import { DarkroomClient } from './darkroom-client.js';
import { SessionEnded } from './session.js';
import {
  Store,
  arrivedJob,
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
import { uploadPhoto } from './upload.js';
import { Wishes } from './wishes.js';

/** @typedef {import('./api.js').Api} Api */
/** @typedef {import('./store.js').Job} Job */
/** @typedef {{file: File, previewUrl: string, fileKey: string}} Photo `fileKey` is empty until the photo is stored */

const QUOTA_DELAY_MS = 400;
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const PAGE_SIZE = 100;

export class Studio {
  store = new Store();
  /** A job changed before the reader's eyes. @type {(job: Job) => void} */ onJobNews = () => {};
  #wishes = new Wishes();
  /** @type {AbortController | null} */ #submitting = null;
  /** @type {Map<string, Promise<void>>} */ #readings = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #quotaTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #midnightTimer;

  /** @param {Api} api */
  constructor(api) {
    this.api = api;
    this.client = new DarkroomClient({ token: (options) => this.#token(options) });
    this.#follow(this.client);
  }

  start() {
    this.client.connect();
    this.#readQuotaSoon();
  }

  stop() {
    this.client.close();
    this.#submitting?.abort();
    clearTimeout(this.#quotaTimer);
    clearTimeout(this.#midnightTimer);
  }

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
    client.on('state', ({ state }) => this.#takeState(state));
    client.on('snapshot', (snapshot) => this.#takeSnapshot(snapshot));
    client.on('job', ({ job, time }) => this.#takeJob(job, time));
    client.on('progress', (progress) => this.store.update((state) => withProgress(state, progress, progress)));
    client.on('quota', (quota) => this.#takeQuota(quota));
    client.on('degraded', ({ parts }) => this.store.update((state) => ({ ...state, degraded: parts })));
    client.on('deleted', (job) => this.store.update((state) => withoutJob(state, job)));
  }

  /** @param {import('./darkroom-line.js').State} state */
  #takeState(state) {
    this.store.update((before) => withConnection(before, state));
    const { session } = this.api;
    if (state === 'signed-out' && session.name) session.signOut(true);
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
    this.#expectReset();
  }

  /** @param {Job} job @param {string} [time] */
  #takeJob(job, time) {
    this.#setClock(time);
    const before = this.store.state;
    this.store.update((state) => withJob(state, job));
    if (this.store.state === before) return;
    this.onJobNews(job);
    // A job taken in or given back moves the day's number, which is not told by polling.
    if (this.client.state === 'polling' && job.status !== 'processing') this.#readQuotaSoon();
  }

  #readQuotaSoon() {
    clearTimeout(this.#quotaTimer);
    this.#quotaTimer = setTimeout(() => void this.#readQuota(), QUOTA_DELAY_MS);
  }

  async #readQuota() {
    try {
      const { dailyLimit, usedToday, remainingQuota, quotaResetsAt } = await this.api.me();
      this.#takeQuota({ dailyLimit, usedToday, remainingQuota, resetsAt: quotaResetsAt });
    } catch {
      // The number on show stays; the next job or snapshot brings a new one.
    }
  }

  /** @param {import('./store.js').Quota} quota */
  #takeQuota(quota) {
    this.store.update((state) => ({ ...state, quota }));
    this.#expectReset();
  }

  /** Read the number again when the day ends. */
  #expectReset() {
    const { quota, clockOffset } = this.store.state;
    if (!quota?.resetsAt) return;
    const milliseconds = Date.parse(quota.resetsAt) - clockOffset - Date.now();
    clearTimeout(this.#midnightTimer);
    if (milliseconds < 0 || milliseconds > LONGEST_TIMER_MS) return;
    this.#midnightTimer = setTimeout(() => this.#readQuotaSoon(), milliseconds);
  }

  /**
   * Upload the photo unless it is stored already, then start a job. Ends quietly when the person cancels.
   * @param {Photo} photo @param {{style: string, prompt: string}} wish @returns {Promise<void>}
   */
  async submit(photo, wish) {
    const controller = new AbortController();
    this.#submitting = controller;
    const knownIds = new Set(this.store.state.jobs.keys());
    const { previewUrl } = photo;
    this.#setSubmission({ phase: 'uploading', fraction: 0, style: wish.style, previewUrl, fileKey: '', knownIds });
    try {
      photo.fileKey ||= await this.#upload(photo.file, controller.signal);
      this.#changeSubmission({ phase: 'sending', fraction: 1, fileKey: photo.fileKey });
      const accepted = await this.#generate({ fileKey: photo.fileKey, ...wish });
      this.store.update((state) => ({ ...withAccepted(state, accepted, wish, previewUrl), submission: null }));
      this.#noteRemaining(accepted.remainingQuota);
    } catch (error) {
      this.#setSubmission(null);
      // Only then does the next try upload it again: another photo is another wish, and another job.
      if (/** @type {any} */ (error).code === 'file_not_found') photo.fileKey = '';
      if (controller.signal.aborted) return;
      this.#readQuotaSoon();
      throw error;
    }
  }

  /**
   * @param {{fileKey: string, style: string, prompt: string}} wish
   * @returns {Promise<import('./api.js').Accepted>}
   */
  #generate(wish) {
    return this.#wishes.ask(wish, async (key) => {
      try {
        return await this.api.generate(wish, key);
      } catch (error) {
        const job = arrivedJob(this.store.state);
        if (!job) throw error;
        return { jobId: job.jobId, status: job.status };
      }
    });
  }

  /** Stop the upload under way. */
  cancelUpload() {
    this.#submitting?.abort();
  }

  /** @param {File} file @param {AbortSignal} signal */
  #upload(file, signal) {
    /** @param {number} fraction */
    const onProgress = (fraction) => this.#changeSubmission({ fraction });
    return uploadPhoto({ api: this.api, file, onProgress, signal });
  }

  /** @param {import('./store.js').Submission | null} submission */
  #setSubmission(submission) {
    this.store.update((state) => ({ ...state, submission }));
  }

  /** @param {Partial<import('./store.js').Submission>} change */
  #changeSubmission(change) {
    const { submission } = this.store.state;
    if (submission) this.#setSubmission({ ...submission, ...change });
  }

  /** Without a number the one on show stays until it is read anew. @param {number | null | undefined} remainingQuota */
  #noteRemaining(remainingQuota) {
    if (typeof remainingQuota !== 'number') return this.#readQuotaSoon();
    const { quota } = this.store.state;
    if (quota) this.store.update((state) => ({ ...state, quota: { ...quota, remainingQuota } }));
  }

  /** Cancel a job, and note what that came to. @param {string} jobId */
  async cancel(jobId) {
    const canceled = await this.client.cancel(jobId);
    this.store.update((state) => withCancellation(state, canceled));
    return canceled;
  }

  /** Start a new job of an ended one's input. @param {Job} job */
  async retry({ jobId, style, prompt }) {
    const accepted = await this.#wishes.ask({ retryOf: jobId }, (key) => this.api.retry(jobId, key));
    this.store.update((state) => withAccepted(state, accepted, { style, prompt }, state.previews.get(jobId)));
    this.#noteRemaining(accepted.remainingQuota);
  }

  /** Delete a job and its picture; one that is gone already is as good. @param {string} jobId */
  async delete(jobId) {
    await this.api.deleteJob(jobId).catch((error) => {
      if (error.code !== 'job_not_found') throw error;
    });
    this.store.update((state) => withoutJob(state, { jobId }));
  }

  /** Fetch the next page of history. The first one starts anew: a snapshot has no cursor to go on from. */
  async loadMore() {
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

  /** Save the picture as a file of that name. @param {Job} job @param {string} fileName */
  async download(job, fileName) {
    const { downloadUrl } = await this.api.downloadLink(job.jobId);
    // From another origin a link cannot name the file; a blob can. The cache may hold an answer without CORS headers.
    const response = await fetch(downloadUrl, { cache: 'no-store' });
    if (!response.ok) throw new Error(`storage answered ${response.status}`);
    const link = document.createElement('a');
    link.href = URL.createObjectURL(await response.blob());
    link.download = fileName;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
}
