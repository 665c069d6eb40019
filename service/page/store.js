/**
 * What the page knows: pure functions from one state to the next, and a small box that holds the state.
 *
 * @typedef {{code: string, message: string, retryable: boolean}} Failure
 * @typedef {{ahead: number, etaSeconds?: number}} QueuePlace
 * @typedef {{stage: string, fraction: number, message?: string, version?: number, queue?: QueuePlace, partial?: any}} Progress
 *   `partial` is what is known of the result already
 * @typedef {{
 *   jobId: string, status: string, version: number, terminal: boolean, createdAt: string, updatedAt?: string,
 *   attempt?: number, style?: string, prompt?: string, pipeline?: string, inputImageUrl?: string,
 *   retryOf?: string, queue?: QueuePlace, inputImageSignedUrl?: string, outputImageUrl?: string, processingTime?: number, progress?: Progress,
 *   parameters?: Record<string, any>, result?: Record<string, any>, error?: string, failure?: Failure, charged?: boolean,
 * }} Job
 * @typedef {{dailyLimit: number, usedToday: number, remainingQuota: number, resetsAt: string}} Quota
 * @typedef {{style?: string, prompt?: string, parameters?: Record<string, any>}} Asked
 * @typedef {{
 *   id: number, pipeline: string, phase: 'uploading' | 'sending' | 'waiting' | 'late' | 'unsent', fraction: number | undefined,
 *   asked: Asked, previewUrl?: string, isIts: (job: Job) => boolean, knownIds: Set<string>, error?: any,
 *   onAccepted?: () => void,
 * }} Submission what is on its way to being a job. `waiting`: all is sent, and the job begins by itself; `late`: it has not
 *   for a while; `unsent`: the service has not taken it in, for the reason in `error`. `onAccepted` is called when it has.
 * @typedef {{outcome: string, givenBack: boolean}} Cancellation
 * @typedef {{part: string, condition: string, reason: string}} Degradation
 * @typedef {{
 *   connection: import('./darkroom-line.js').State, degraded: Degradation[], cancellations: Map<string, Cancellation>,
 *   jobs: Map<string, Job>, deleted: Set<string>, hidden: Set<string>, progress: Map<string, Progress>, previews: Map<string, string>,
 *   quota: Quota | null, hasMore: boolean, cursor: string | undefined, isLoaded: boolean, submissions: Submission[],
 *   clockOffset: number, refusal: string,
 * }} State `hidden` are jobs that are about to be deleted; `refusal` is the code of the reason why the connection is refused
 */

/** @returns {State} */
export function emptyState() {
  return {
    connection: 'connecting',
    degraded: [],
    cancellations: new Map(),
    jobs: new Map(),
    deleted: new Set(),
    hidden: new Set(),
    progress: new Map(),
    previews: new Map(),
    quota: null,
    hasMore: false,
    cursor: undefined,
    isLoaded: false,
    submissions: [],
    clockOffset: 0,
    refusal: '',
  };
}

/**
 * Take a job in, unless a version at least as new is known: events and snapshots may come late or twice.
 * @param {State} state @param {Job} job @returns {State}
 */
export function withJob(state, job) {
  const known = state.jobs.get(job.jobId);
  return known && known.version >= job.version ? state : replaceJob(state, job);
}

/**
 * Take a job read anew for its links: the same version is welcome, an older one is not.
 * @param {State} state @param {Job} job @returns {State}
 */
export function withFreshLinks(state, job) {
  const known = state.jobs.get(job.jobId);
  return known && known.version > job.version ? state : replaceJob(state, job);
}

/** @param {State} state @param {Job} job @returns {State} */
function replaceJob(state, job) {
  if (state.deleted.has(job.jobId)) return state;
  const jobs = new Map(state.jobs).set(job.jobId, job);
  const progress = new Map(state.progress);
  if (job.terminal || (progress.get(job.jobId)?.version ?? 0) < job.version) progress.delete(job.jobId);
  return { ...state, jobs, progress };
}

/**
 * Forget a job for good: whatever comes late must not bring it back.
 * @param {State} state @param {{jobId: string}} job @returns {State}
 */
export function withoutJob(state, { jobId }) {
  const [jobs, progress, previews] = [new Map(state.jobs), new Map(state.progress), new Map(state.previews)];
  const cancellations = new Map(state.cancellations);
  [jobs, progress, previews, cancellations].forEach((map) => map.delete(jobId));
  const deleted = new Set(state.deleted).add(jobId);
  return withoutHidden({ ...state, jobs, progress, previews, cancellations, deleted }, jobId);
}

/** Show a job no more, for the time being. @param {State} state @param {string} jobId @returns {State} */
export function withHidden(state, jobId) {
  return { ...state, hidden: new Set(state.hidden).add(jobId) };
}

/** @param {State} state @param {string} jobId @returns {State} */
export function withoutHidden(state, jobId) {
  return { ...state, hidden: new Set([...state.hidden].filter((each) => each !== jobId)) };
}

/**
 * Note what canceling a job came to; the job itself does not tell.
 * @param {State} state @param {Cancellation & {jobId: string}} canceled @returns {State}
 */
export function withCancellation(state, { jobId, outcome, givenBack }) {
  return { ...state, cancellations: new Map(state.cancellations).set(jobId, { outcome, givenBack }) };
}

/**
 * Note how the connection is. Without one nobody knows what is wrong with the service; the next one tells anew.
 * @param {State} state @param {State['connection']} connection @param {number | string} [code] why it is refused @returns {State}
 */
export function withConnection(state, connection, code = 'forbidden') {
  const isTold = connection === 'live' || connection === 'streaming';
  const refusal = connection === 'refused' ? String(code) : '';
  return { ...state, connection, refusal, degraded: isTold ? state.degraded : [] };
}

/** @param {State} state @param {Job[]} jobs @returns {State} */
function withJobs(state, jobs) {
  return jobs.reduce(withJob, state);
}

/**
 * Merge what the socket says at its start. Jobs known from further back stay.
 * @param {State} state @param {{jobs: Job[], hasMore: boolean, quota?: Quota}} snapshot @returns {State}
 */
export function withSnapshot(state, snapshot) {
  const merged = withJobs(state, snapshot.jobs);
  // Once paging has begun, its cursor knows better than the snapshot whether there is more.
  const hasMore = state.cursor === undefined ? snapshot.hasMore : state.hasMore;
  return { ...merged, hasMore, quota: snapshot.quota ?? state.quota, isLoaded: true };
}

/**
 * Merge one page of the history.
 * @param {State} state @param {{jobs: Job[], nextCursor?: string}} page @returns {State}
 */
export function withPage(state, page) {
  return { ...withJobs(state, page.jobs), cursor: page.nextCursor, hasMore: Boolean(page.nextCursor) };
}

/**
 * Note how far a running job is; the newest replaces all before, but for what is known of the result.
 * @param {State} state @param {{jobId: string, version: number}} job @param {Progress} progress @returns {State}
 */
export function withProgress(state, job, progress) {
  const known = state.jobs.get(job.jobId);
  if (!known || known.terminal || known.version > job.version) return state;
  const partial = progress.partial ?? progressOf(state, known)?.partial;
  const noted = { ...progress, partial, version: job.version };
  return { ...state, progress: new Map(state.progress).set(job.jobId, noted) };
}

/**
 * Put an accepted job on show before the socket tells of it: version 0, so that any news replaces it.
 * @param {State} state @param {{jobId: string, status: string}} accepted @param {Asked & {pipeline?: string}} asked
 * @param {string} [previewUrl] @returns {State}
 */
export function withAccepted(state, accepted, asked, previewUrl) {
  const createdAt = new Date(Date.now() + state.clockOffset).toISOString();
  const job = { ...asked, jobId: accepted.jobId, status: accepted.status, version: 0, terminal: false, createdAt };
  return withPreview(withJob(state, job), job, previewUrl);
}

/** @param {State} state @param {{jobId: string}} job @param {string} [previewUrl] @returns {State} */
export function withPreview(state, { jobId }, previewUrl) {
  if (!previewUrl || !state.jobs.has(jobId)) return state;
  return { ...state, previews: new Map(state.previews).set(jobId, previewUrl) };
}

/** One pipeline's jobs. @param {State} state @param {string} pipeline @returns {Job[]} */
export function newestFirst(state, pipeline) {
  return [...state.jobs.values()]
    .filter((job) => job.pipeline === pipeline && !state.hidden.has(job.jobId))
    .sort((a, b) => b.createdAt.localeCompare(a.createdAt) || b.jobId.localeCompare(a.jobId));
}

/** @param {State} state @param {string} pipeline */
export function runningCount(state, pipeline) {
  const running = newestFirst(state, pipeline).filter((job) => !job.terminal).length;
  return running + visibleSubmissions(state, pipeline).filter(({ phase }) => phase !== 'unsent').length;
}

/**
 * The very job that a submission asked for: the socket may bring it before the reply, or without one.
 * @param {State} state @param {Submission} submission @returns {Job | undefined}
 */
export function arrivedJob({ jobs }, { pipeline, isIts, knownIds }) {
  return [...jobs.values()].find(
    (job) => job.pipeline === pipeline && !knownIds.has(job.jobId) && !job.retryOf && isIts(job),
  );
}

/** Those of a pipeline whose job has not arrived. @param {State} state @param {string} pipeline @returns {Submission[]} */
export function visibleSubmissions(state, pipeline) {
  return state.submissions.filter((each) => each.pipeline === pipeline && !arrivedJob(state, each));
}

/** Those that the service does not have yet: they end with the tab. @param {Submission[]} submissions */
export function unaccepted(submissions) {
  return submissions.filter(({ phase }) => ['uploading', 'sending', 'unsent'].includes(phase));
}

/** Whether news of the jobs comes in. @param {State} state */
export function isConnected({ connection }) {
  return ['live', 'streaming', 'polling'].includes(connection);
}

/** The one that is being sent; only then may its form send another. @param {State} state @param {string} pipeline */
export function sendingOf({ submissions }, pipeline) {
  return submissions.find((each) => each.pipeline === pipeline && ['uploading', 'sending'].includes(each.phase));
}

/** Whether a gallery shows a photo from this address. @param {State} state @param {string} previewUrl */
export function showsPreview({ submissions, previews }, previewUrl) {
  return submissions.some((each) => each.previewUrl === previewUrl) || [...previews.values()].includes(previewUrl);
}

/** @param {State} state */
export function isQuotaUsedUp({ quota, clockOffset }) {
  return quota?.remainingQuota === 0 && Date.parse(quota.resetsAt) > Date.now() + clockOffset;
}

/**
 * How far a running job is, from the newest word on it.
 * @param {State} state @param {Job} job @returns {Progress | undefined}
 */
export function progressOf(state, job) {
  return job.terminal ? undefined : (state.progress.get(job.jobId) ?? job.progress);
}

/** Holds the state and tells its subscribers of each change. */
export class Store {
  /** @type {State} */ state = emptyState();
  /** @type {Set<() => void>} */ #subscribers = new Set();

  /** @param {(state: State) => State} change */
  update(change) {
    const next = change(this.state);
    if (next === this.state) return;
    this.state = next;
    this.#subscribers.forEach((notify) => notify());
  }

  /** @param {() => void} notify @returns {() => void} ends the subscription */
  subscribe(notify) {
    this.#subscribers.add(notify);
    return () => void this.#subscribers.delete(notify);
  }
}
