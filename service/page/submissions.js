/** What is on its way to being a job: kept on show, and watched, until the job is there. */

import { arrivedJob, isConnected, sendingOf, withAccepted, withJob, withPreview } from './store.js';
import { Wishes } from './wishes.js';

/** @typedef {import('./store.js').Submission} Submission */
/** @typedef {import('./store.js').State} State */
/** @typedef {import('./store.js').Job} Job */
/** @typedef {import('./api.js').Accepted | Job} Accepted */
/** @typedef {Pick<Submission, 'pipeline' | 'asked' | 'previewUrl' | 'isIts' | 'onAccepted'>} Wish `isIts` recognises its job */
/**
 * @typedef {{
 *   signal: AbortSignal, change: (news: Partial<Submission>) => void,
 *   ask: (wish: object, request: (key: string) => Promise<Accepted>) => Promise<Accepted>,
 * }} Sending `ask` sends a request that is safe to repeat; see `Wishes` for when two wishes are the same
 * @typedef {(sending: Sending) => Promise<Accepted | null>} Send
 */

const LATE_MS = 60_000;
/** What failed so may do as it is, once the network is back. */
export const NETWORK_FAILURES = ['network', 'timeout', 'not_ready', 'unavailable', 'upload_failed', 'upload_stalled'];

/**
 * Whether it is not on its way just now, though it would be: all of it may have left the browser, and nobody have taken it in.
 * @param {Submission} submission @param {State} state
 */
export function isHeldUp({ phase, fraction }, state) {
  if (isConnected(state) || !['uploading', 'sending'].includes(phase)) return false;
  // A photo may well go on where only the socket is gone.
  return state.connection === 'offline' || phase === 'sending' || fraction === undefined;
}

/** Whether two wishes are of the same things. @param {Wish} one @param {Wish} other */
function isAlike(one, other) {
  const [first, second] = [one, other].map(({ pipeline, asked, previewUrl }) => JSON.stringify([pipeline, asked, previewUrl]));
  return first === second;
}

export class Submissions {
  wishes = new Wishes();
  #count = 0;
  /** How to send each once more. @type {Map<number, Send>} */ #sends = new Map();
  /** @type {Map<number, AbortController>} */ #controllers = new Map();
  /** @type {Map<number, ReturnType<typeof setTimeout>>} */ #timers = new Map();

  /** @param {import('./store.js').Store} store */
  constructor(store) {
    this.store = store;
    store.subscribe(() => this.#settle());
  }

  /** Cancel all. */
  stop() {
    this.#controllers.forEach((controller) => controller.abort());
    this.#timers.forEach((timer) => clearTimeout(timer));
  }

  /**
   * Have a wish sent by `send`, which gives what the service has accepted, or null where the job begins by itself later.
   * Ends quietly, with null, when the person cancels. What fails for the network stays on show, to be sent again.
   * @param {Wish} wish @param {Send} send
   * @returns {Promise<Accepted | null>} @throws whatever `send` throws
   */
  async submit(wish, send) {
    const id = this.#open(wish);
    this.#sends.set(id, send);
    try {
      return await this.#run(id, send);
    } catch (error) {
      const isKept = NETWORK_FAILURES.includes(/** @type {any} */ (error).code);
      if (isKept) this.#change(id, { phase: 'unsent', fraction: undefined, error });
      else this.dismiss(id);
      throw error;
    }
  }

  /**
   * Send what is on show once more, as it is, unless another is being sent; a request that may have arrived goes out under the key it had.
   * @param {number} id @returns {Promise<Accepted | null>} @throws what it throws; it stays on show
   */
  async resend(id) {
    const [submission, send] = [this.#get(id), this.#sends.get(id)];
    if (!submission || !send || sendingOf(this.store.state, submission.pipeline)) return null;
    this.#change(id, { phase: 'uploading', error: undefined });
    try {
      return await this.#run(id, send);
    } catch (error) {
      this.#change(id, { phase: 'unsent', fraction: undefined, error });
      throw error;
    }
  }

  /** @param {number} id @param {Send} send @returns {Promise<Accepted | null>} */
  async #run(id, send) {
    const controller = new AbortController();
    this.#controllers.set(id, controller);
    try {
      const accepted = await send(this.#sending(id, controller.signal));
      this.#get(id)?.onAccepted?.();
      if (accepted) this.#accept(id, accepted);
      else this.#await(id);
      return accepted;
    } catch (error) {
      if (!controller.signal.aborted) throw error;
      this.dismiss(id);
      return null;
    } finally {
      this.#controllers.delete(id);
    }
  }

  /** Stop sending. @param {number} id */
  cancel(id) {
    this.#controllers.get(id)?.abort();
  }

  /** Show it no more. @param {number} id */
  dismiss(id) {
    this.#close(id, (state) => state);
  }

  /** @param {number} id @param {AbortSignal} signal @returns {Sending} */
  #sending(id, signal) {
    return {
      signal,
      change: (news) => this.#change(id, news),
      ask: (wish, request) => this.wishes.ask(wish, (key) => request(key).catch((error) => this.#insteadOf(id, error))),
    };
  }

  /** A lost answer is no error once the job is there. @param {number} id @param {unknown} error */
  #insteadOf(id, error) {
    const submission = this.#get(id);
    const job = submission && arrivedJob(this.store.state, submission);
    if (!job) throw error;
    return job;
  }

  /** @param {Wish} wish */
  #open(wish) {
    // Pressed in the form again, it is the same wish: it is on show once.
    const unsent = this.store.state.submissions.filter(({ phase }) => phase === 'unsent');
    unsent.filter((each) => isAlike(each, wish)).forEach((each) => this.dismiss(each.id));
    const id = (this.#count += 1);
    this.store.update((state) => {
      const knownIds = new Set(state.jobs.keys());
      /** @type {Submission} */
      const submission = { ...wish, id, phase: 'uploading', fraction: undefined, knownIds };
      return { ...state, submissions: [submission, ...state.submissions] };
    });
    return id;
  }

  /** @param {number} id */
  #get(id) {
    return this.store.state.submissions.find((each) => each.id === id);
  }

  /** @param {number} id @param {Partial<Submission>} news */
  #change(id, news) {
    this.store.update((state) => {
      const submissions = state.submissions.map((each) => (each.id === id ? { ...each, ...news } : each));
      return { ...state, submissions };
    });
  }

  /** Take it away and put in its place what `change` does, as one change. @param {number} id @param {(state: State) => State} change */
  #close(id, change) {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
    this.#sends.delete(id);
    this.store.update((state) => ({ ...change(state), submissions: state.submissions.filter((each) => each.id !== id) }));
  }

  /** @param {number} id @param {Accepted} accepted */
  #accept(id, accepted) {
    const submission = this.#get(id);
    if (!submission) return;
    const { asked, pipeline, previewUrl } = submission;
    this.#close(id, (state) =>
      'version' in accepted
        ? withPreview(withJob(state, accepted), accepted, previewUrl)
        : withAccepted(state, accepted, { ...asked, pipeline }, previewUrl),
    );
  }

  /** Wait for a job that begins by itself. @param {number} id */
  #await(id) {
    clearTimeout(this.#timers.get(id));
    const timer = setTimeout(() => this.#change(id, { phase: 'late' }), LATE_MS);
    this.#timers.set(id, timer);
    this.#change(id, { phase: 'waiting', fraction: undefined });
  }

  /** Let those go whose job has begun by itself, or without our hearing of it. */
  #settle() {
    for (const submission of this.store.state.submissions) {
      const isAtRest = this.#sends.has(submission.id) && !this.#controllers.has(submission.id);
      const job = isAtRest && arrivedJob(this.store.state, submission);
      if (job) this.#close(submission.id, (state) => withPreview(state, job, submission.previewUrl));
    }
  }
}
