/** The service's REST routes: one fetch with a time-out, errors as one class, the token kept fresh. */

/** @typedef {import('./store.js').Job} Job */
/** @typedef {import('./session.js').Session} Session */
/** @typedef {{jobId: string, status: string, remainingQuota?: number | null}} Accepted no quota where it could not be read */

const TIMEOUT_MS = 20_000;
/** Starting a job is several writes, each tried more than once: giving up before the service does would hide a charged job. */
const START_TIMEOUT_MS = 60_000;
/** A start that got no answer is sent again after each of these, as long as the first one is not this old. */
const RESEND_AFTER_MS = [1_000, 3_000];
const RESEND_WITHIN_MS = 75_000;
const LONGEST_WAIT_MS = 10_000;
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
 * @param {string} path
 * @param {{method?: string, body?: object, token?: string, key?: string, timeoutMs?: number}} [options] `key` makes it
 *   safe to send twice
 * @returns {Promise<any>} the JSON answered
 */
export async function requestJson(path, { method = 'GET', body, token, key, timeoutMs = TIMEOUT_MS } = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: 'application/json' };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers['Content-Type'] = 'application/json';
  if (key) headers['Idempotency-Key'] = key;
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal });
    if (!response.ok) throw await asError(response);
    return await response.json();
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError({ code: signal.aborted ? 'timeout' : 'network' });
  }
}

export const loadConfig = () => requestJson('/app-config.json');
export const loadStyles = async () => (await requestJson('/styles')).styles;

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

  /** @param {string} path @param {{method?: string, body?: object, key?: string, timeoutMs?: number}} [options] */
  async #call(path, options) {
    const token = await this.session.token();
    try {
      return await requestJson(path, { ...options, token });
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      return requestJson(path, { ...options, token: await this.session.token({ refused: token }) });
    }
  }

  /**
   * Start a job. What gets no answer is sent again, a few times: with the same key it is the same job.
   * @param {string} path @param {string} key @param {object} [body] @returns {Promise<Accepted>}
   */
  async #start(path, key, body) {
    const options = { method: 'POST', body, key, timeoutMs: START_TIMEOUT_MS };
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

  /** @param {{fileName: string, contentType: string, fileSize: number}} photo
   *  @returns {Promise<{uploadUrl: string, uploadHeaders: Record<string, string>, fileKey: string}>} */
  uploadLink(photo) {
    return this.#call('/upload', { method: 'POST', body: photo });
  }

  /** @param {{fileKey: string, style: string, prompt?: string}} wish @param {string} key the wish's own */
  generate(wish, key) {
    return this.#start('/generate', key, wish);
  }

  /** Make a new job of the same input. @param {string} jobId @param {string} key the wish's own */
  retry(jobId, key) {
    return this.#start(`/jobs/${encodeURIComponent(jobId)}/retry`, key);
  }

  /** @param {string} jobId */
  deleteJob(jobId) {
    return this.#call(`/jobs/${encodeURIComponent(jobId)}`, { method: 'DELETE' });
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
}
