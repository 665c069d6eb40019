/** The service's REST routes: one fetch with a time-out, errors as one class, the token kept fresh. */

/** @typedef {import('./store.js').Job} Job */
/** @typedef {import('./session.js').Session} Session */

const TIMEOUT_MS = 20_000;
/** Starting a job is several writes, each tried more than once: giving up before the service does would hide a charged job. */
const GENERATE_TIMEOUT_MS = 60_000;

/** A refused or failed request; switch on `code`, which is the service's own or `network` or `timeout`. */
export class ApiError extends Error {
  /** @param {{status?: number, code: string, error?: string, requestId?: string, field?: string}} problem */
  constructor({ status = 0, code, error = code, requestId, field }) {
    super(error);
    this.status = status;
    this.code = code;
    this.requestId = requestId;
    this.field = field;
  }
}

/** @param {Response} response */
async function asError(response) {
  const body = await response.json().catch(() => ({}));
  return new ApiError({ code: `http_${response.status}`, ...body, status: response.status });
}

/**
 * @param {string} path
 * @param {{method?: string, body?: object, token?: string, timeoutMs?: number}} [options]
 * @returns {Promise<any>} the JSON answered
 */
export async function requestJson(path, { method = 'GET', body, token, timeoutMs = TIMEOUT_MS } = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: 'application/json' };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers['Content-Type'] = 'application/json';
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

/** The routes that need a signed-in person. A refused token is renewed and the request sent once more. */
export class Api {
  /** @param {Session} session */
  constructor(session) {
    this.session = session;
  }

  /** @param {string} path @param {{method?: string, body?: object, timeoutMs?: number}} [options] */
  async #call(path, options) {
    const token = await this.session.token();
    try {
      return await requestJson(path, { ...options, token });
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      return requestJson(path, { ...options, token: await this.session.token({ refused: token }) });
    }
  }

  /** @param {{fileName: string, contentType: string, fileSize: number}} photo
   *  @returns {Promise<{uploadUrl: string, uploadHeaders: Record<string, string>, fileKey: string}>} */
  uploadLink(photo) {
    return this.#call('/upload', { method: 'POST', body: photo });
  }

  /** @param {{fileKey: string, style: string, prompt?: string}} wish
   *  @returns {Promise<{jobId: string, status: string, remainingQuota?: number | null}>} no quota where it could not be read */
  generate(wish) {
    return this.#call('/generate', { method: 'POST', body: wish, timeoutMs: GENERATE_TIMEOUT_MS });
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
