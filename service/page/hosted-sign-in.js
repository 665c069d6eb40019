/** Sign-in on Cognito's own pages: the authorization code flow with PKCE, renewal by refresh token, and the way out. */

import { ApiError } from './api.js';

/**
 * @typedef {{domain: string, clientId: string, identityProvider: string}} SignInConfig
 * @typedef {{state: string, nonce: string, verifier: string, hash: string}} Attempt `hash` is the view the person was in
 * @typedef {{idToken: string, refreshToken: string}} Tokens
 * @typedef {{state: string, code: string | null, error: string | null}} Answer what the sign-in page has sent the browser back with
 */

const STORAGE_KEY = 'darkroom.sign-in';
const SCOPES = 'openid email profile';
const TIMEOUT_MS = 20_000;
const RANDOM_BYTES = 32;

/** @param {Uint8Array} bytes */
function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

const randomWord = () => base64url(crypto.getRandomValues(new Uint8Array(RANDOM_BYTES)));

/** What the sign-in page is shown of the verifier: its SHA-256. @param {string} verifier */
async function challengeOf(verifier) {
  return base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))));
}

/** The address that the sign-in page is to send the browser back to; Cognito knows it by heart. */
const ownAddress = () => new URL('/', location.href).href;

/**
 * Take the sign-in page's answer out of the address, and so out of the history, before anything else is done.
 * @returns {Answer | null} none when the page was opened in another way
 */
export function takeAnswer() {
  const url = new URL(location.href);
  const [state, code, error] = ['state', 'code', 'error'].map((name) => url.searchParams.get(name));
  if (state === null || (code === null && error === null)) return null;
  for (const name of ['state', 'code', 'error', 'error_description']) url.searchParams.delete(name);
  history.replaceState(null, '', url);
  return { state, code, error };
}

export class HostedSignIn {
  /** @param {SignInConfig} config @param {Storage} storage where an attempt waits in this tab while the sign-in page is shown */
  constructor(config, storage) {
    this.config = config;
    this.storage = storage;
  }

  /** Leave for the sign-in page. */
  async begin() {
    const attempt = { state: randomWord(), nonce: randomWord(), verifier: randomWord(), hash: location.hash };
    this.storage.setItem(STORAGE_KEY, JSON.stringify(attempt));
    const { clientId, identityProvider } = this.config;
    const query = new URLSearchParams({
      response_type: 'code',
      client_id: clientId,
      redirect_uri: ownAddress(),
      scope: SCOPES,
      state: attempt.state,
      nonce: attempt.nonce,
      code_challenge: await challengeOf(attempt.verifier),
      code_challenge_method: 'S256',
      ...(identityProvider && { identity_provider: identityProvider }),
    });
    location.assign(`${this.config.domain}/oauth2/authorize?${query}`);
  }

  /**
   * Turn the sign-in page's answer into tokens, and go on in the view where the person began.
   * @param {Answer} answer @returns {Promise<Tokens & {nonce: string}>} the id token must carry the nonce
   * @throws {ApiError} `sign_in_state` for an answer to what this tab never asked, or asked once and was told already;
   *   `sign_in_denied`, `sign_in_failed` when the sign-in page says so; `sign_in_refused` when the code is not taken
   */
  async finish({ state, code, error }) {
    const attempt = this.#takeAttempt();
    if (attempt?.state !== state) throw new ApiError({ code: 'sign_in_state' });
    if (attempt.hash) history.replaceState(null, '', attempt.hash);
    if (!code) throw new ApiError({ code: error === 'access_denied' ? 'sign_in_denied' : 'sign_in_failed' });
    const asked = { grant_type: 'authorization_code', code, redirect_uri: ownAddress(), code_verifier: attempt.verifier };
    return { ...(await this.#ask(asked)), nonce: attempt.nonce };
  }

  /**
   * @param {string} refreshToken @returns {Promise<Tokens>} another refresh token where they rotate, else the same
   * @throws {ApiError} `sign_in_refused` when it is good no more
   */
  renew(refreshToken) {
    return this.#ask({ grant_type: 'refresh_token', refresh_token: refreshToken });
  }

  /** End the session at Cognito too: the refresh token, which nobody waits for, and the sign-in page's own. @param {string} refreshToken */
  leave(refreshToken) {
    const { clientId, domain } = this.config;
    const body = new URLSearchParams({ token: refreshToken, client_id: clientId });
    fetch(`${domain}/oauth2/revoke`, { method: 'POST', body, mode: 'no-cors', credentials: 'omit', keepalive: true }).catch(
      () => {},
    );
    location.assign(`${domain}/logout?${new URLSearchParams({ client_id: clientId, logout_uri: ownAddress() })}`);
  }

  /** An attempt is good for one answer. @returns {Attempt | null} */
  #takeAttempt() {
    const attempt = JSON.parse(this.storage.getItem(STORAGE_KEY) ?? 'null');
    this.storage.removeItem(STORAGE_KEY);
    return attempt;
  }

  /** @param {Record<string, string>} grant @returns {Promise<Tokens>} */
  async #ask(grant) {
    const body = new URLSearchParams({ ...grant, client_id: this.config.clientId });
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    try {
      const response = await fetch(`${this.config.domain}/oauth2/token`, { method: 'POST', body, signal, credentials: 'omit' });
      // 429 and 5xx say nothing of the grant: it may be sent again.
      if (response.status === 429 || response.status >= 500) throw new ApiError({ status: response.status, code: 'unavailable' });
      if (!response.ok) throw new ApiError({ status: response.status, code: 'sign_in_refused' });
      const { id_token: idToken, refresh_token: refreshToken = grant.refresh_token } = await response.json();
      return { idToken, refreshToken };
    } catch (error) {
      if (error instanceof ApiError) throw error;
      throw new ApiError({ code: signal.aborted ? 'timeout' : 'network' });
    }
  }
}
