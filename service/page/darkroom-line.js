// @ts-check
/** Keeps one good connection to the service, of the best kind that the network lets through, and knows where it left off. */

import { PollLink, SocketLink, StreamLink } from './darkroom-links.js';

/** @typedef {import('./darkroom-links.js').Link} Link */
/** @typedef {import('./darkroom-links.js').Frame} Frame */
/** @typedef {import('./darkroom-links.js').End} End */
/** @typedef {import('./darkroom-links.js').Timing} Timing */
/** @typedef {'connecting' | 'live' | 'streaming' | 'polling' | 'offline' | 'refused' | 'signed-out'} State */

const STORAGE_KEY = 'darkroom.transport';
const MOST_REFUSALS = 2;
/** Refusals that may be taken back, so that it is worth asking again. */
const PASSING = ['user_blocked'];

/** From best to worst. `patience`: so many in a row that nobody answered, and the next kind is tried. */
const KINDS = [
  { Kind: SocketLink, name: 'socket', state: 'live', patience: 2 },
  { Kind: StreamLink, name: 'stream', state: 'streaming', patience: 1 },
  { Kind: PollLink, name: 'poll', state: 'polling', patience: 1 },
];
const NUDGES = /** @type {const} */ (['online', 'offline', 'pageshow', 'focus']);
const DOCUMENT_NUDGES = /** @type {const} */ (['visibilitychange', 'resume']);

/**
 * Full jitter: anything between nothing and a ceiling that doubles, so that a crowd does not return as one.
 * @param {number} failures counted from 0 @param {Timing} timing
 */
function waitMs(failures, { shortestWaitMs, longestWaitMs }) {
  return Math.random() * Math.min(longestWaitMs, shortestWaitMs * 2 ** failures);
}

export class Line {
  /** @type {Link | null} The one that serves, or is being opened while none does. */ #link = null;
  /** @type {Link | null} One that is opened beside a link that serves, to take its place. */ #spare = null;
  /** @type {State | null} */ #told = null;
  /** @type {'offline' | 'refused' | 'signed-out'} */ #stoppedAs = 'offline';
  /** The service lets this person in no more, for now. */ #isRefused = false;
  #isStopped = true;
  #kind = 0;
  #unheard = 0;
  #failures = 0;
  #refusals = 0;
  /** @type {string | undefined} */ #refused;
  #cursor = '';
  #resumedFor = '';
  #probing = /** @type {Link | null} */ (null);
  #renewedAt = -Infinity;
  #upgradeMs = 0;
  /** @type {Record<'retry' | 'upgrade' | 'spare' | 'renew', ReturnType<typeof setTimeout> | undefined>} */
  #timers = { retry: undefined, upgrade: undefined, spare: undefined, renew: undefined };

  /**
   * @param {{
   *   url: URL, token: (options: {refused?: string}) => Promise<string | null>, timing: Timing, storage: Storage | null,
   *   onFrame: (frame: Frame) => void, onState: (state: State, code?: number | string) => void, onLost: () => void,
   * }} options `onLost` says that a link has gone, with whatever was asked over it
   */
  constructor(options) {
    this.options = options;
  }

  /** Begin; or try again at once, where it waits to. */
  start() {
    if (!this.#isStopped) return this.#open();
    this.#isStopped = this.#isRefused = false;
    this.#refusals = this.#failures = this.#unheard = 0;
    this.#upgradeMs = this.options.timing.upgradeMs;
    this.#kind = Math.max(0, KINDS.findIndex(({ name }) => name === this.options.storage?.getItem(STORAGE_KEY)));
    for (const event of NUDGES) addEventListener(event, this.#nudge);
    for (const event of DOCUMENT_NUDGES) document.addEventListener(event, this.#nudge);
    this.#open();
  }

  /** @param {'offline' | 'refused' | 'signed-out'} [state] @param {number | string} [code] why, if it was the service's wish */
  stop(state = 'offline', code) {
    this.#isStopped = true;
    this.#stoppedAs = state;
    for (const event of NUDGES) removeEventListener(event, this.#nudge);
    for (const event of DOCUMENT_NUDGES) document.removeEventListener(event, this.#nudge);
    Object.values(this.#timers).forEach(clearTimeout);
    this.#link?.close();
    this.#spare?.close();
    this.#link = this.#spare = null;
    this.options.onLost();
    this.#tell(code);
  }

  /** Say something over the socket; false while there is none that serves. @param {object} message */
  send(message) {
    return this.#link?.isReady === true && this.#link.send(message);
  }

  #open() {
    clearTimeout(this.#timers.retry);
    if (this.#isStopped || this.#link) return;
    this.#link = this.#newLink(this.#kind);
    this.#tell();
  }

  /** Open a link beside the one that serves. @param {number} kind */
  #openSpare(kind) {
    clearTimeout(this.#timers.spare);
    if (!this.#link?.isReady || this.#spare) return;
    this.#spare = this.#newLink(kind);
  }

  /** @param {number} kind */
  #newLink(kind) {
    const link = new KINDS[kind].Kind({
      url: this.options.url,
      cursor: this.#cursor,
      timing: this.options.timing,
      token: () => this.options.token({ refused: this.#refused }),
      onFrame: this.#onFrame,
      onReady: this.#onReady,
      onEnd: this.#onEnd,
    });
    void link.start();
    return link;
  }

  /** @param {Link} link */
  #onReady = (link) => {
    if (link === this.#spare) {
      this.#link?.close();
      this.#link = link;
      this.#spare = null;
      this.options.onLost();
    }
    this.#kind = KINDS.findIndex(({ name }) => name === link.kind);
    this.#failures = this.#unheard = this.#refusals = 0;
    this.#isRefused = false;
    this.#remember(link.kind);
    if (this.#kind === 0) this.#upgradeMs = this.options.timing.upgradeMs;
    else this.#upgradeLater();
    // What was wrong with the service is said to every new socket: nothing said is all well.
    if (this.#kind === 0 && !link.saidDegraded) this.options.onFrame({ type: 'system.degraded', data: { parts: [] } });
    this.#tell();
  };

  /** @param {string} kind */
  #remember(kind) {
    try {
      this.options.storage?.setItem(STORAGE_KEY, kind);
    } catch {
      // Full or forbidden: the next page tries a socket first.
    }
  }

  /** @param {Link} link @param {Frame} frame */
  #onFrame = (link, frame) => {
    if (link === this.#probing) this.#probing = null;
    if (frame.type === 'resync') this.#cursor = '';
    if (frame.id && frame.id > this.#cursor) this.#cursor = frame.id;
    if (frame.type === 'ping') this.#lookForGap(link, frame.data.newestId);
    if (frame.type === 'auth.expiring') this.#renewSoon(link);
    if (frame.type === 'error' && frame.data.ref === 'auth') this.#renewSoon(link);
    if (frame.type === 'reconnect') this.#replaceSoon(frame.data.afterMs);
    const isTwice = link === this.#spare && frame.type === 'job.progress';
    if (!isTwice) this.options.onFrame(frame);
  };

  /** @param {Link} link @param {string | null} newestId */
  #lookForGap(link, newestId) {
    if (link !== this.#link || !newestId || newestId <= this.#cursor || newestId === this.#resumedFor) return;
    this.#resumedFor = newestId;
    // Where nothing had happened yet there is no cursor; without a good one the answer is a snapshot.
    link.send({ type: 'resume', since: this.#cursor });
  }

  /** @param {Link} link @param {End} end */
  #onEnd = (link, end) => {
    if (end.advice === 'token') this.#refused = link.token;
    if (link === this.#spare) {
      this.#spare = null;
      this.#spareFailed(link, end);
      return;
    }
    this.#link = this.#spare;
    this.#spare = null;
    this.options.onLost();
    if (this.#link) this.#tell();
    else this.#comeBack(link, end);
  };

  /** @param {Link} link @param {End} end */
  #spareFailed(link, end) {
    if (link.kind === 'socket' && this.#kind > 0) return this.#upgradeLater();
    this.#replaceSoon(this.#waitAfter(link, end));
    this.#failures += 1;
  }

  /** @param {Link} link @param {End} end */
  #comeBack(link, end) {
    const { advice, code } = end;
    if (advice === 'stop') return this.stop('offline', code);
    if (advice === 'signed-out') return this.stop('signed-out');
    if (advice === 'refused' && !PASSING.includes(String(code))) return this.stop('refused', code);
    if (advice === 'token' && ++this.#refusals >= MOST_REFUSALS) return this.stop('signed-out', code);
    // Nothing came through: when something does again, it may be another network.
    if (link.isUnheard) this.#upgradeMs = this.options.timing.upgradeMs;
    this.#noteHeard(link.isUnheard);
    this.#timers.retry = setTimeout(() => this.#open(), link === this.#probing ? 0 : this.#waitAfter(link, end));
    this.#probing = null;
    this.#failures += 1;
    this.#isRefused = advice === 'refused';
    this.#tell(this.#isRefused ? code : undefined);
  }

  /** How long to wait before the next try, in milliseconds. @param {Link} link @param {End} end */
  #waitAfter({ isReady }, { advice, waitMs: asked = 0 }) {
    const { timing } = this.options;
    const usual = waitMs(this.#failures, timing);
    if (advice === 'refused') return timing.refusedMs * (0.5 + Math.random());
    if (advice === 'later') return usual + Math.max(asked, timing.laterMs);
    // One that never served does not come back soon twice: a service that stops would be asked without end.
    return advice === 'soon' && isReady ? waitMs(1, timing) : usual;
  }

  /** @param {boolean} isUnheard */
  #noteHeard(isUnheard) {
    this.#unheard = isUnheard ? this.#unheard + 1 : 0;
    if (this.#unheard < KINDS[this.#kind].patience) return;
    this.#kind = (this.#kind + 1) % KINDS.length;
    this.#unheard = 0;
  }

  /** Try again for a socket; the first time soon, for it may have been the service that was away. */
  #upgradeLater() {
    clearTimeout(this.#timers.upgrade);
    this.#timers.upgrade = setTimeout(() => this.#openSpare(0), this.#upgradeMs);
    this.#upgradeMs = Math.min(2 * this.#upgradeMs, this.options.timing.longestUpgradeMs);
  }

  /** @param {number} milliseconds */
  #replaceSoon(milliseconds) {
    clearTimeout(this.#timers.spare);
    this.#timers.spare = setTimeout(() => this.#openSpare(this.#kind), milliseconds);
  }

  /** @param {Link} link */
  #renewSoon(link) {
    const inMs = Math.max(0, this.#renewedAt + this.options.timing.renewMs - performance.now());
    clearTimeout(this.#timers.renew);
    this.#timers.renew = setTimeout(() => void this.#renew(link), inMs);
  }

  /** Bring a fresh token; a link that cannot take one is replaced by one that starts with it. @param {Link} link */
  async #renew(link) {
    this.#renewedAt = performance.now();
    if (link.kind !== 'socket') return this.#openSpare(this.#kind);
    const token = await this.options.token({}).catch(() => link.token);
    if (!token || link !== this.#link) return;
    if (token === link.token) return this.#renewSoon(link);
    link.token = token;
    link.send({ type: 'auth', token });
  }

  /** The network or the page came or went: ask at once whether the link still lives, or open one. */
  #nudge = (/** @type {Event} */ { type }) => {
    // A window that is only looked at again says nothing against a link that there is.
    if (type === 'focus' && this.#link) return;
    if (document.visibilityState === 'visible') {
      // A socket may pass now, though none did before.
      this.#upgradeMs = this.options.timing.upgradeMs;
      if (type === 'online' && !this.#link) this.#kind = this.#unheard = this.#failures = 0;
      if (!this.#link) this.#open();
      else if (this.#link !== this.#probing) this.#probe(this.#link);
    }
    this.#tell();
  };

  /** @param {Link} link */
  #probe(link) {
    if (link.isReady && link.kind !== 'socket') return this.#openSpare(this.#kind);
    if (!link.isReady && performance.now() - link.startedAt < this.options.timing.probingMs) return;
    this.#probing = link;
    link.expectWithin(this.options.timing.probingMs);
    if (this.#cursor) link.send({ type: 'resume', since: this.#cursor });
    link.send({ type: 'ping' }); // answered also where nothing was missed
  }

  /** @param {number | string} [code] */
  #tell(code) {
    const state = this.#state();
    if (state === this.#told && code === undefined) return;
    this.#told = state;
    this.options.onState(state, code);
  }

  /** @returns {State} */
  #state() {
    if (this.#isStopped) return this.#stoppedAs;
    if (this.#link?.isReady) return /** @type {State} */ (KINDS[this.#kind].state);
    if (navigator.onLine === false) return 'offline';
    return this.#isRefused ? 'refused' : 'connecting';
  }
}
