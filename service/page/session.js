/** Who is signed in: a token in this tab's sessionStorage, renewed when its end is near. */

const STORAGE_KEY = 'darkroom.session';
const LONGEST_MARGIN_MS = 60_000;

/** @typedef {{name: string, isDemo: boolean, idToken: string, expiresAt: number, marginMs: number}} Stored */

/** Nobody is signed in any more, and the page cannot change that by itself. */
export class SessionEnded extends Error {}

/** @param {string} token @returns {Record<string, any>} the claims, unverified: for display and timing only */
export function claimsOf(token) {
  const base64 = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}

export class Session {
  /** @type {Stored | null} */ #stored;
  /** @type {Promise<string> | null} */ #renewal = null;
  #signOuts = 0;
  /** @type {(hasEnded: boolean) => void} */ onChange = () => {};

  /**
   * @param {Storage} storage
   * @param {(user: string) => Promise<{idToken: string}>} demoSignIn
   */
  constructor(storage, demoSignIn) {
    this.storage = storage;
    this.demoSignIn = demoSignIn;
    this.#stored = JSON.parse(storage.getItem(STORAGE_KEY) ?? 'null');
  }

  /** The person's name, or null when nobody is signed in. */
  get name() {
    return this.#stored?.name ?? null;
  }

  /** @param {string} name */
  async signInAsDemo(name) {
    await this.#renew(name);
    this.onChange(false);
  }

  /** @param {string} idToken pasted by a developer @throws {Error} when it is no token at all */
  signInWithToken(idToken) {
    const claims = claimsOf(idToken);
    const name = claims.name ?? claims.email ?? claims.sub;
    this.#keep({ name, isDemo: false, idToken, expiresAt: claims.exp * 1000, marginMs: 0 });
    this.onChange(false);
  }

  signOut(hasEnded = false) {
    this.#signOuts += 1;
    this.#stored = null;
    this.storage.removeItem(STORAGE_KEY);
    this.onChange(hasEnded);
  }

  /**
   * A token good for a request now; pass the one that was refused to get another.
   * @param {{refused?: string}} [options] @returns {Promise<string>} @throws {SessionEnded}
   */
  async token({ refused } = {}) {
    const stored = this.#stored;
    if (!stored) throw new SessionEnded();
    const isNearItsEnd = Date.now() > stored.expiresAt - stored.marginMs;
    if (!isNearItsEnd && stored.idToken !== refused) return stored.idToken;
    if (stored.isDemo) return this.#renew(stored.name);
    this.signOut(true);
    throw new SessionEnded();
  }

  /** @param {string} name */
  #renew(name) {
    this.#renewal ??= this.#signIn(name).finally(() => {
      this.#renewal = null;
    });
    return this.#renewal;
  }

  /** @param {string} name */
  async #signIn(name) {
    const signOuts = this.#signOuts;
    const { idToken } = await this.demoSignIn(name);
    // Signed out while the answer was under way: it must not sign the person in again.
    if (signOuts !== this.#signOuts) throw new SessionEnded();
    const { exp, iat } = claimsOf(idToken);
    // A life counted from now holds on a machine whose clock is wrong; `exp` itself would not.
    const lifeMs = (exp - iat) * 1000;
    const marginMs = Math.min(LONGEST_MARGIN_MS, lifeMs / 4);
    this.#keep({ name, isDemo: true, idToken, expiresAt: Date.now() + lifeMs, marginMs });
    return idToken;
  }

  /** @param {Stored} stored */
  #keep(stored) {
    this.#stored = stored;
    this.storage.setItem(STORAGE_KEY, JSON.stringify(stored));
  }
}
