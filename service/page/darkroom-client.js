// @ts-check
/**
 * Follows a person's Darkroom jobs and reports live, whatever happens to the socket, the tab, the token or the service.
 *
 *     import { DarkroomClient } from 'https://…/darkroom-client.js';
 *     const client = new DarkroomClient({ url: 'https://…/', token: async () => freshIdToken() });
 *     client.on('job', ({ job }) => show(job));
 *     client.connect();
 *
 * No dependency, no build; `darkroom-line.js` and `darkroom-links.js` lie beside it. docs/client.md tells all.
 */

import { Line } from './darkroom-line.js';
import { USUAL_TIMING } from './darkroom-links.js';

/** @typedef {import('./darkroom-links.js').Frame} Frame */
/** @typedef {import('./darkroom-links.js').Timing} Timing */
/** @typedef {import('./darkroom-line.js').State} State */
/** @typedef {{jobId: string, version: number, status: string, terminal: boolean, createdAt: string, [field: string]: any}} Job */
/** @typedef {{dailyLimit: number, usedToday: number, remainingQuota: number, resetsAt: string}} Quota */
/** @typedef {{reportId: string, version: number, plateString: string, latitude: number, longitude: number, firstCaptureTime: string,
 *   lastCaptureTime: string, similarity?: number, reportBool: boolean, time?: string}} Report */
/** @typedef {{jobId: string, status: string, outcome: string, givenBack: boolean, message: string}} Cancellation */
/**
 * What the events carry in their `detail`. `time` is the service's clock.
 * @typedef {{
 *   state: {state: State, code?: number | string},
 *   snapshot: {jobs: Job[], hasMore: boolean, quota?: Quota, time?: string},
 *   job: {job: Job, type: string, time?: string},
 *   deleted: {jobId: string},
 *   progress: {jobId: string, version: number, status: string, stage: string, fraction: number, message: string,
 *     partial?: Record<string, any>},
 *   report: Report,
 *   quota: Quota,
 *   degraded: {parts: {part: string, condition: string, reason: string, retryAfterSeconds?: number}[]},
 *   error: {code: string, message: string},
 * }} Details
 */

/**
 * Lasting messages that are no change of a job: the event that tells of each, and the field that names what it is about.
 * @type {Record<string, {name: 'report', id: string}>}
 */
const OTHER_NEWS = { 'report.confirmed': { name: 'report', id: 'reportId' } };
/** So many things are remembered that are not kept, such as deleted jobs; what is told again is never that old. */
const MOST_REMEMBERED = 1000;
const REQUEST_MS = 20_000;
const REREAD_MS = 5_000;
/** A job so young may be missing from a snapshot though it is there: the list of jobs trails the jobs by moments. */
const YOUNG_MS = 60_000;

/** A refused or failed request; `code` is the service's own, or `network`, `timeout` or `signed_out`. */
export class DarkroomError extends Error {
  /** @param {string} code @param {string} [message] @param {number} [status] */
  constructor(code, message = code, status = 0) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/**
 * Remember a version as the last, and the oldest no longer where there are too many.
 * @param {Map<string, number>} versions @param {string} id @param {number} version
 */
function remember(versions, id, version) {
  versions.delete(id);
  versions.set(id, version);
  const [oldest] = versions.keys();
  if (versions.size > MOST_REMEMBERED) versions.delete(oldest);
}

/** @returns {Storage | null} none where the browser forbids it */
function tabStorage() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}

export class DarkroomClient extends EventTarget {
  /** The newest known of each job, by id. @type {Map<string, Job>} */
  jobs = new Map();
  /** @type {Quota | null} */
  quota = null;
  /** @type {State} */
  state = 'offline';
  /** Up to which version each forgotten job stays forgotten, the last one at the end. @type {Map<string, number>} */ #forgotten = new Map();
  /** The newest version told of what else there is, the last told at the end. @type {Map<string, number>} */ #otherVersions = new Map();
  #isLoaded = false;
  #isDegraded = false;
  /** Jobs of which it is not known whether they are still there. @type {Set<string>} */ #doubtful = new Set();
  #isReading = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #rereadTimer;
  /** @type {Map<string, {resolve: (data: any) => void, reject: (error: DarkroomError) => void}>} */ #asked = new Map();
  #asks = 0;

  /**
   * @param {{
   *   token: (options: {refused?: string}) => Promise<string | null>,
   *   url?: string | URL, storage?: Storage | null, timing?: Partial<Timing>,
   * }} options `token` gives a good token, another than `refused`, or null when nobody is signed in; it is asked each time
   *   one is needed. `url` is where the service is. `storage` remembers what the network lets through.
   */
  constructor({ token, url = '/', storage = tabStorage(), timing = {} }) {
    super();
    this.token = token;
    this.url = new URL(String(url).replace(/\/*$/, '/'), location.href);
    this.line = new Line({
      token,
      storage,
      url: this.url,
      timing: { ...USUAL_TIMING, ...timing },
      onFrame: (frame) => this.#receive(frame),
      onState: (state, code) => this.#setState(state, code),
      onLost: () => this.#giveUpAsking(),
    });
  }

  /** Connect, and stay connected until `close` or until nobody is signed in; or try again at once, while it waits to. */
  connect() {
    this.line.start();
  }

  close() {
    clearTimeout(this.#rereadTimer);
    this.line.stop();
  }

  /**
   * Cancel a job; doing so twice is the same as once.
   * @param {string} jobId @returns {Promise<Cancellation>} @throws {DarkroomError}
   */
  async cancel(jobId) {
    const said = await this.#ask({ type: 'cancel', jobId });
    return said ?? this.#request('POST', `jobs/${encodeURIComponent(jobId)}/cancel`);
  }

  /** Take in jobs that the page has read itself, so that they are followed too. They are not told back. @param {Job[]} jobs */
  learn(jobs) {
    for (const job of jobs) this.#keep(job);
  }

  /**
   * Listen with the detail alone. Returns the end of it.
   * @template {keyof Details} Name
   * @param {Name} name @param {(detail: Details[Name]) => void} listener @returns {() => void}
   */
  on(name, listener) {
    const listen = (/** @type {Event} */ event) => listener(/** @type {CustomEvent} */ (event).detail);
    this.addEventListener(name, listen);
    return () => this.removeEventListener(name, listen);
  }

  /**
   * @template {keyof Details} Name
   * @param {Name} name @param {Details[Name]} detail
   */
  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** @param {State} state @param {number | string} [code] */
  #setState(state, code) {
    this.state = state;
    this.#emit('state', { state, code });
  }

  /** @param {Frame} frame */
  #receive({ type, time, job, data }) {
    if (type === 'snapshot') this.#takeSnapshot(data, time);
    else if (type === 'job.deleted') this.#forget(job.jobId, Infinity);
    else if (type === 'job.progress') this.#takeProgress(job, data);
    else if (type.startsWith('job.') && job?.jobId) this.#takeJob(job, type, time);
    else if (Object.hasOwn(OTHER_NEWS, type)) this.#takeOther(OTHER_NEWS[type], data, time);
    else if (type === 'quota') this.#takeQuota(data);
    else if (type === 'system.degraded') this.#takeDegraded(data);
    else if (type === 'cancel.ok' || type === 'error') this.#takeAnswer(type, data);
  }

  /** Take a job in unless a version at least as new is known. @param {Job} job @returns {boolean} whether it was news */
  #keep(job) {
    const told = this.jobs.get(job.jobId)?.version ?? this.#forgotten.get(job.jobId) ?? -1;
    if (job.version <= told) return false;
    this.#forgotten.delete(job.jobId);
    this.jobs.set(job.jobId, job);
    this.#doubtful.delete(job.jobId);
    return true;
  }

  /** @param {Job} job @param {string} type @param {string} [time] */
  #takeJob(job, type, time) {
    if (this.#keep(job)) this.#emit('job', { job, type, time });
  }

  /** Forget a job; later news up to that version will not bring it back. @param {string} jobId @param {number} version */
  #forget(jobId, version) {
    this.#doubtful.delete(jobId);
    const isKnown = this.jobs.delete(jobId);
    const isNew = !this.#forgotten.has(jobId);
    remember(this.#forgotten, jobId, version);
    if (isKnown || isNew) this.#emit('deleted', { jobId });
  }

  /** @param {Job} job @param {any} data */
  #takeProgress(job, data) {
    const known = this.jobs.get(job.jobId);
    if (!known || known.terminal || known.version > job.version) return;
    this.#emit('progress', { ...data, ...job });
  }

  /** @param {{name: 'report', id: string}} kind @param {any} data @param {string} [time] */
  #takeOther({ name, id }, data, time) {
    const thing = `${name} ${data[id]}`;
    const known = this.#otherVersions.get(thing) ?? -1;
    remember(this.#otherVersions, thing, Math.max(known, data.version));
    if (data.version > known) this.#emit(name, { ...data, time });
  }

  /** @param {{jobs: Job[], hasMore: boolean, quota?: Quota}} data @param {string} [time] */
  #takeSnapshot(data, time) {
    const news = data.jobs.filter((job) => this.#keep(job));
    this.#doubt(data, Date.parse(time ?? '') - YOUNG_MS);
    if (data.quota) this.#takeQuota(data.quota);
    // The first one is no news; a later one stands in for events that could not be told.
    if (this.#isLoaded) news.forEach((job) => this.#emit('job', { job, type: 'snapshot', time }));
    this.#isLoaded = true;
    this.#emit('snapshot', { ...data, time });
    void this.#readDoubtful();
  }

  /**
   * Find out about the jobs that a snapshot should have and has not: it tells the newest jobs only, if there are more.
   * @param {{jobs: Job[], hasMore: boolean}} data @param {number} youngSince
   */
  #doubt({ jobs, hasMore }, youngSince) {
    const told = new Set(jobs.map(({ jobId }) => jobId));
    for (const job of [...this.jobs.values()]) {
      if (told.has(job.jobId)) continue;
      const isYoung = !(Date.parse(job.createdAt) < youngSince);
      if (hasMore ? !job.terminal : isYoung) this.#doubtful.add(job.jobId);
      else if (!hasMore) this.#forget(job.jobId, job.version);
    }
  }

  async #readDoubtful() {
    if (this.#isReading) return;
    this.#isReading = true;
    clearTimeout(this.#rereadTimer);
    try {
      for (const jobId of this.#doubtful) await this.#readJob(jobId);
    } catch {
      if (this.state !== 'offline') this.#rereadTimer = setTimeout(() => void this.#readDoubtful(), REREAD_MS);
    } finally {
      this.#isReading = false;
    }
  }

  /** @param {string} jobId */
  async #readJob(jobId) {
    try {
      this.#takeJob(await this.#request('GET', `jobs/${encodeURIComponent(jobId)}`), 'read');
      this.#doubtful.delete(jobId);
    } catch (error) {
      if (!(error instanceof DarkroomError) || error.code !== 'job_not_found') throw error;
      this.#forget(jobId, Infinity);
    }
  }

  /** @param {Quota} quota */
  #takeQuota(quota) {
    this.quota = quota;
    this.#emit('quota', quota);
  }

  /** @param {Details['degraded']} data */
  #takeDegraded(data) {
    const isDegraded = data.parts.length > 0;
    if (isDegraded || this.#isDegraded) this.#emit('degraded', data);
    this.#isDegraded = isDegraded;
  }

  /** Ask over the socket; null when there is none, or it ends before the answer. @param {object} question @returns {Promise<any>} */
  #ask(question) {
    const ref = `ask-${(this.#asks += 1)}`;
    if (!this.line.send({ ...question, ref })) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      this.#asked.set(ref, { resolve, reject });
      setTimeout(() => this.#settle(ref)?.resolve(null), REQUEST_MS);
    });
  }

  /** @param {string} type @param {any} data */
  #takeAnswer(type, { ref, ...data }) {
    const asked = this.#settle(ref);
    // A socket takes a few questions at a time; REST takes the others.
    if (asked && data.code === 'too_many_requests') asked.resolve(null);
    else if (asked && type === 'error') asked.reject(new DarkroomError(data.code, data.message));
    else if (asked) asked.resolve(data);
    else if (type === 'error') this.#emit('error', data);
  }

  /** @param {string} ref */
  #settle(ref) {
    const asked = this.#asked.get(ref);
    this.#asked.delete(ref);
    return asked;
  }

  #giveUpAsking() {
    for (const ref of [...this.#asked.keys()]) this.#settle(ref)?.resolve(null);
  }

  /** @param {string} method @param {string} path @param {string} [refused] @returns {Promise<any>} */
  async #request(method, path, refused) {
    const token = await this.token({ refused });
    if (!token) throw new DarkroomError('signed_out');
    const signal = AbortSignal.timeout(REQUEST_MS);
    const headers = { Authorization: `Bearer ${token}`, Accept: 'application/json' };
    const response = await fetch(new URL(path, this.url), { method, headers, signal, cache: 'no-store' }).catch(() => {
      throw new DarkroomError(signal.aborted ? 'timeout' : 'network');
    });
    if (response.status === 401 && refused === undefined) return this.#request(method, path, token);
    const body = await response.json().catch(() => ({}));
    if (!response.ok) throw new DarkroomError(body.code ?? `http_${response.status}`, body.error, response.status);
    return body;
  }
}
