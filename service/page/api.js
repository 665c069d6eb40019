/** The service's REST routes: one fetch with a time-out, errors as one class, the token kept fresh. */

import { sendForm } from './send-form.js';

/** @typedef {import('./store.js').Job} Job */
/** @typedef {import('./session.js').Session} Session */
/** @typedef {{jobId: string, status: string, remainingQuota?: number | null}} Accepted no quota where it could not be read */

const TIMEOUT_MS = 20_000;
/** Starting a job is several writes, each tried more than once: giving up before the service does would hide a charged job. */
const START_TIMEOUT_MS = 60_000;
/** One that carries its photo takes as long as the photo does. */
const FORM_TIMEOUT_MS = 180_000;
/** A start that got no answer is sent again after each of these, as long as the first one is not this old. */
const RESEND_AFTER_MS = [1_000, 3_000];
const RESEND_WITHIN_MS = 75_000;
const LONGEST_WAIT_MS = 10_000;
/** One request erases for most of a minute, then asks for another. */
const ERASURE_TIMEOUT_MS = 120_000;
const ERASE_AGAIN_MS = 1_000;
/** A file that is on its way may be so long without a byte. */
const SILENCE_MS = 60_000;
/** No answer came, or one that does not say what became of the request; the latter two are a load balancer's. */
const UNANSWERED = [0, 503, 502, 504];

/** A refused or failed request; switch on `code`, which is the service's own or `network` or `timeout`. */
export class ApiError extends Error {
  /** @param {{status?: number, code: string, error?: string, requestId?: string, field?: string, retryAfterMs?: number}} problem */
  constructor({ status = 0, code, error = code, requestId, field, retryAfterMs = 0 }) {
    super(error);
    this.status = status;
    this.code = code;
    this.requestId = requestId;
    this.field = field;
    this.retryAfterMs = retryAfterMs;
  }
}

/** @param {Response} response */
async function asError(response) {
  const body = await response.json().catch(() => ({}));
  const retryAfterMs = Number(response.headers.get('Retry-After')) * 1_000 || 0;
  return new ApiError({ code: `http_${response.status}`, ...body, status: response.status, retryAfterMs });
}

/**
 * @typedef {{method?: string, body?: object | FormData, headers?: Record<string, string>, signal?: AbortSignal,
 *   token?: string, timeoutMs?: number, isLasting?: boolean, onProgress?: (fraction: number) => void}} Options
 *   `isLasting`: it goes on when the page has gone; `onProgress` is told what part of the body has left
 */

/** @param {Options} options @returns {Record<string, string>} */
function headersOf({ body, headers, token }) {
  return {
    Accept: 'application/json',
    ...(token && { Authorization: `Bearer ${token}` }),
    // The browser itself names a form's type, with the line between its parts.
    ...(body && !(body instanceof FormData) && { 'Content-Type': 'application/json' }),
    ...headers,
  };
}

/** @param {string} path @param {Options} [options] @returns {Promise<any>} the JSON answered */
export async function requestJson(path, options = {}) {
  const { method = 'GET', body, signal, timeoutMs = TIMEOUT_MS } = options;
  const timeout = AbortSignal.timeout(timeoutMs);
  const content = body instanceof FormData ? body : body && JSON.stringify(body);
  const signals = AbortSignal.any(signal ? [timeout, signal] : [timeout]);
  try {
    const request = { method, headers: headersOf(options), body: content, signal: signals, keepalive: options.isLasting };
    const response = await (options.onProgress ? sendForm(path, request, options.onProgress) : fetch(path, request));
    if (!response.ok) throw await asError(response);
    return await response.json();
  } catch (error) {
    if (error instanceof ApiError) throw error;
    signal?.throwIfAborted();
    throw new ApiError({ code: timeout.aborted ? 'timeout' : 'network' });
  }
}

/**
 * @param {string} path @param {{token: string, signal: AbortSignal}} options @param {(bytes: number) => void} onProgress
 * @returns {Promise<Blob>}
 */
async function requestFile(path, { token, signal }, onProgress) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  let bytes = 0;
  /** @param {Uint8Array} chunk @param {TransformStreamDefaultController} controller */
  const transform = (chunk, controller) => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENCE_MS);
    onProgress((bytes += chunk.byteLength));
    controller.enqueue(chunk);
  };
  try {
    const headers = { Authorization: `Bearer ${token}` };
    const response = await fetch(path, { headers, signal: AbortSignal.any([silence.signal, signal]) });
    if (!response.ok || !response.body) throw await asError(response);
    return await new Response(response.body.pipeThrough(new TransformStream({ transform }))).blob();
  } catch (error) {
    if (error instanceof ApiError) throw error;
    signal.throwIfAborted();
    throw new ApiError({ code: silence.signal.aborted ? 'timeout' : 'network' });
  } finally {
    clearTimeout(timer);
  }
}

export const loadConfig = () => requestJson('/app-config.json');

/** @param {string} user @returns {Promise<{idToken: string}>} */
export const demoSignIn = (user) => requestJson('/auth/demo', { method: 'POST', body: { user } });

/** How long to wait before sending again what got no answer; a crowd must not return as one. @param {number} usualMs @param {ApiError} error */
function resendAfterMs(usualMs, { retryAfterMs }) {
  return Math.min(LONGEST_WAIT_MS, Math.max(retryAfterMs, usualMs * (0.5 + Math.random())));
}

/** The routes that need a signed-in person. A refused token is renewed and the request sent once more. */
export class Api {
  /** @param {Session} session */
  constructor(session) {
    this.session = session;
  }

  /** @param {string} path @param {Options} [options] */
  async #call(path, options) {
    const token = await this.session.token();
    try {
      return await requestJson(path, { ...options, token });
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      return requestJson(path, { ...options, token: await this.session.token({ refused: token }) });
    }
  }

  /** Read what a view needs. @param {string} path @returns {Promise<any>} */
  get(path) {
    return this.#call(path);
  }

  /**
   * Start a job. What gets no answer is sent again, a few times: with the same key it is the same job.
   * @param {string} path @param {string} key @param {Pick<Options, 'body' | 'headers' | 'signal' | 'onProgress'>} [asked] @returns {Promise<any>}
   */
  async start(path, key, { headers, ...asked } = {}) {
    const timeoutMs = asked.body instanceof FormData ? FORM_TIMEOUT_MS : START_TIMEOUT_MS;
    const options = { ...asked, method: 'POST', headers: { ...headers, 'Idempotency-Key': key }, timeoutMs };
    const begun = performance.now();
    for (const usualMs of RESEND_AFTER_MS) {
      try {
        return await this.#call(path, options);
      } catch (error) {
        if (!(error instanceof ApiError) || !UNANSWERED.includes(error.status)) throw error;
        if (performance.now() - begun > RESEND_WITHIN_MS) throw error;
        await new Promise((resolve) => setTimeout(resolve, resendAfterMs(usualMs, error)));
      }
    }
    return this.#call(path, options);
  }

  /** @param {{fileName: string, contentType: string, fileSize: number, [more: string]: unknown}} photo
   *  @returns {Promise<{uploadUrl: string, uploadHeaders: Record<string, string>, fileKey: string}>} */
  uploadLink(photo) {
    return this.#call('/upload', { method: 'POST', body: photo });
  }

  /** Make a new job of the same input. @param {string} jobId @param {string} key the wish's own @returns {Promise<Accepted>} */
  retry(jobId, key) {
    return this.start(`/jobs/${encodeURIComponent(jobId)}/retry`, key);
  }

  /**
   * Delete a job; with a token in hand the request leaves at once, and outlives the page.
   * @param {string} jobId @param {string} [token]
   */
  async deleteJob(jobId, token) {
    const path = `/jobs/${encodeURIComponent(jobId)}`;
    try {
      if (token) return await requestJson(path, { method: 'DELETE', token, isLasting: true });
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
    }
    return this.#call(path, { method: 'DELETE' });
  }

  /** @param {string} jobId @returns {Promise<Job>} */
  job(jobId) {
    return this.#call(`/jobs/${encodeURIComponent(jobId)}`);
  }

  /** @param {{cursor?: string, limit: number}} page @returns {Promise<{jobs: Job[], nextCursor?: string}>} */
  jobs({ cursor, limit }) {
    const query = new URLSearchParams({ limit: String(limit), ...(cursor && { cursor }) });
    return this.#call(`/jobs?${query}`);
  }

  /** @param {string} jobId @returns {Promise<{downloadUrl: string}>} */
  downloadLink(jobId) {
    return this.#call(`/jobs/${encodeURIComponent(jobId)}/download`);
  }

  me() {
    return this.#call('/user/me');
  }

  /** Erase the person's jobs, pictures and all that is known of them, in as many requests as it takes. */
  async eraseMe() {
    for (;;) {
      const { complete } = await this.#call('/user/me', { method: 'DELETE', timeoutMs: ERASURE_TIMEOUT_MS });
      if (complete) return;
      await new Promise((resolve) => setTimeout(resolve, ERASE_AGAIN_MS));
    }
  }

  /**
   * All that is kept of the person, as a ZIP file. It may be large and long in coming, but not silent.
   * @param {(bytes: number) => void} onProgress @param {AbortSignal} signal @returns {Promise<Blob>} @throws {ApiError}
   */
  async exportMe(onProgress, signal) {
    const token = await this.session.token();
    try {
      return await requestFile('/user/me/export', { token, signal }, onProgress);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      return requestFile('/user/me/export', { token: await this.session.token({ refused: token }), signal }, onProgress);
    }
  }
}
