/**
 * Who is signed in, in all tabs of this browser: tokens in localStorage, renewed by one tab at a time when their end is near.
 *
 * A new tab is signed in at once, and the end of a session is the end of it in each tab. The price is that a script in this page
 * could read the refresh token. Hence the strict content policy, one token for each renewal and its revocation on the way out.
 */

import { demoSignIn } from './api.js';
import { HostedSignIn } from './hosted-sign-in.js';

const STORAGE_KEY = 'darkroom.session';
const LONGEST_MARGIN_MS = 60_000;
/** So long after a renewal no other tab begins one: a browser's processes hear of each other's writes a moment late. */
const SETTLING_MS = 150;

/**
 * @typedef {'demo' | 'hosted' | 'token'} Way
 * @typedef {{way: Way, name: string, email: string, subject: string, idToken: string, refreshToken: string, expiresAt: number,
 *   marginMs: number}} Stored `refreshToken` is empty where there is none
 * @typedef {{hasEnded: true, isErased?: true}} Ended by itself, or with all that was kept of the person, who should be told
 * @typedef {{demo: (user: string) => Promise<{idToken: string}>, hosted: import('./hosted-sign-in.js').HostedSignIn | null}} Ways
 */

/** Nobody is signed in any more, and the page cannot change that by itself. */
export class SessionEnded extends Error {}

/** @param {string} token @returns {Record<string, any>} the claims, unverified: for display and timing only */
export function claimsOf(token) {
  const base64 = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}

/**
 * @param {Way} way @param {{idToken: string, refreshToken?: string}} tokens @param {string} [name] what the person is called here
 * @returns {Stored}
 */
function sessionOf(way, { idToken, refreshToken = '' }, name) {
  const claims = claimsOf(idToken);
  const { email = '', sub: subject, exp, iat } = claims;
  // A life counted from now holds on a machine whose clock is wrong; `exp` itself would not. A pasted token is of any age.
  const lifeMs = (exp - iat) * 1000;
  const [expiresAt, marginMs] =
    way === 'token' ? [exp * 1000, 0] : [Date.now() + lifeMs, Math.min(LONGEST_MARGIN_MS, lifeMs / 4)];
  const called = name ?? (claims.name || email || claims['cognito:username'] || subject);
  return { way, name: called, email, subject, idToken, refreshToken, expiresAt, marginMs };
}

/** @param {Stored} stored */
const isNearItsEnd = ({ expiresAt, marginMs }) => Date.now() > expiresAt - marginMs;

/** The session of this browser, with the ways in that the service offers. @param {import('./page.js').Config} config */
export function openSession({ signIn }) {
  return new Session(localStorage, { demo: demoSignIn, hosted: signIn ? new HostedSignIn(signIn, sessionStorage) : null });
}

export class Session {
  /** @type {Stored | null} */ #stored = null;
  /** @type {Promise<string> | null} */ #renewal = null;
  /** The session ended by itself, here or in another tab; cleared by the next one. */
  hasEnded = false;
  /** It ended because everything of the person was deleted. */
  isErased = false;
  /** @type {(hasEnded: boolean) => void} */ onChange = () => {};

  /** @param {Storage} storage that tabs share @param {Ways} ways */
  constructor(storage, ways) {
    this.storage = storage;
    this.ways = ways;
    this.#take(this.#read());
    // Said on the page that comes back from signing out, too; then no more.
    if (this.isErased) storage.removeItem(STORAGE_KEY);
    addEventListener('storage', ({ key }) => (key === STORAGE_KEY || key === null) && this.#follow());
    // A page that was put aside has heard of nothing.
    addEventListener('pageshow', ({ persisted }) => persisted && this.#follow());
  }

  /** The person's name, or null when nobody is signed in. */
  get name() {
    return this.#stored?.name ?? null;
  }

  /** The person's e-mail address, or nothing. */
  get email() {
    return this.#stored?.email ?? '';
  }

  /** Who the tokens speak for, or null: two people may share a name. */
  get subject() {
    return this.#stored?.subject ?? null;
  }

  /** Whether the operators' view would open; the service decides that by itself. */
  get isOperator() {
    return Boolean(this.#stored && claimsOf(this.#stored.idToken)['cognito:groups']?.includes('operators'));
  }

  /** @param {string} name */
  async signInAsDemo(name) {
    this.#keep(sessionOf('demo', await this.ways.demo(name), name));
    this.onChange(false);
  }

  /** @param {string} idToken pasted by a developer @throws {Error} when it is no token at all */
  signInWithToken(idToken) {
    this.#keep(sessionOf('token', { idToken }));
    this.onChange(false);
  }

  /** Leave for the sign-in page. */
  async beginHostedSignIn() {
    await this.ways.hosted?.begin();
  }

  /** @param {import('./hosted-sign-in.js').Answer} answer @throws {import('./api.js').ApiError} */
  async finishHostedSignIn(answer) {
    const { hosted } = this.ways;
    if (!hosted) return;
    const { nonce, ...tokens } = await hosted.finish(answer);
    const claims = claimsOf(tokens.idToken);
    // The token came straight from Cognito, over TLS; the service verifies its signature each time it is used.
    if (claims.nonce !== nonce || claims.aud !== hosted.config.clientId) {
      throw Object.assign(new Error('the token answers another question'), { code: 'sign_in_state' });
    }
    this.#keep(sessionOf('hosted', tokens));
    this.onChange(false);
  }

  /**
   * Sign the person out in all tabs, and of Cognito's sign-in page; that leads away and back.
   * @param {{isErased?: boolean}} [options] `isErased`: nothing is left of the account, and the page says so
   */
  signOut({ isErased = false } = {}) {
    const stored = this.#stored;
    this.#end(isErased ? { hasEnded: true, isErased } : null);
    if (stored?.way === 'hosted') this.ways.hosted?.leave(stored.refreshToken);
  }

  /** Tell the person, in all tabs, that the session is over. */
  expire() {
    this.#end({ hasEnded: true });
  }

  /**
   * A token good for a request now; pass the one that was refused to get another.
   * @param {{refused?: string}} [options] @returns {Promise<string>} @throws {SessionEnded}
   */
  async token({ refused } = {}) {
    const stored = this.#stored;
    if (!stored) throw new SessionEnded();
    if (stored.idToken !== refused && !isNearItsEnd(stored)) return stored.idToken;
    this.#renewal ??= this.#renewInTurn(stored).finally(() => {
      this.#renewal = null;
    });
    return this.#renewal;
  }

  /** Tabs wait for each other: the first renews, the others find what it has got. @param {Stored} spent @returns {Promise<string>} */
  #renewInTurn(spent) {
    return new Promise((resolve, reject) => {
      const renew = async () => {
        resolve(await this.#renew(spent));
        await new Promise((settled) => setTimeout(settled, SETTLING_MS));
      };
      navigator.locks.request(STORAGE_KEY, renew).catch(reject);
    });
  }

  /** @param {Stored} spent @returns {Promise<string>} */
  async #renew(spent) {
    const newest = this.#readOf(spent.subject);
    if (newest.idToken !== spent.idToken && !isNearItsEnd(newest)) return this.#take(newest).idToken;
    const renewed = await this.#askAnew(newest);
    // Signed out while the answer was under way, here or in another tab: it must not sign the person in again.
    this.#readOf(spent.subject);
    return this.#keep(renewed).idToken;
  }

  /** @param {Stored} stored @returns {Promise<Stored>} */
  async #askAnew({ way, name, refreshToken }) {
    const { demo, hosted } = this.ways;
    try {
      if (way === 'demo') return sessionOf(way, await demo(name), name);
      if (way === 'hosted' && hosted) return sessionOf(way, await hosted.renew(refreshToken));
    } catch (error) {
      if (/** @type {any} */ (error).code !== 'sign_in_refused') throw error;
    }
    this.expire();
    throw new SessionEnded();
  }

  /** @returns {Stored | Ended | null} what all tabs know */
  #read() {
    return JSON.parse(this.storage.getItem(STORAGE_KEY) ?? 'null');
  }

  /** @param {string} subject @returns {Stored} @throws {SessionEnded} when it is no session of this person any more */
  #readOf(subject) {
    const known = this.#read();
    if (known === null || 'hasEnded' in known || known.subject !== subject) throw new SessionEnded();
    return known;
  }

  /** @template {Stored | Ended | null} Known @param {Known} known @returns {Known} */
  #take(known) {
    this.hasEnded = known !== null && 'hasEnded' in known;
    this.isErased = known !== null && 'isErased' in known;
    this.#stored = known === null || 'hasEnded' in known ? null : known;
    return known;
  }

  /** @param {Stored} stored */
  #keep(stored) {
    this.storage.setItem(STORAGE_KEY, JSON.stringify(stored));
    return this.#take(stored);
  }

  /** @param {Ended | null} [ended] */
  #end(ended = null) {
    if (ended) this.storage.setItem(STORAGE_KEY, JSON.stringify(ended));
    else this.storage.removeItem(STORAGE_KEY);
    this.#take(ended);
    this.onChange(this.hasEnded);
  }

  /** Do as another tab has done. */
  #follow() {
    const { subject } = this;
    this.#take(this.#read());
    if (subject !== this.subject || subject === null) this.onChange(this.hasEnded);
  }
}
