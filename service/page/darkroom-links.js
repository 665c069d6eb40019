// @ts-check
/** One connection to the service, of each kind: a socket, a stream of events, polls. Each tells frames and, once, its end. */

const PROTOCOL = 'darkroom.v1';
const USUAL_PING_MS = 25_000;

/**
 * @typedef {{type: string, id?: string, time?: string, job?: any, data?: any}} Frame
 * @typedef {'soon' | 'again' | 'later' | 'token' | 'refused' | 'stop' | 'signed-out'} Advice what to do after an end
 * @typedef {{advice: Advice, code?: number | string, waitMs?: number}} End
 * @typedef {{openingMs: number, pingMs: number | null, graceMs: number, probingMs: number, shortestWaitMs: number,
 *   longestWaitMs: number, laterMs: number, refusedMs: number, renewMs: number, upgradeMs: number, longestUpgradeMs: number,
 *   pollSeconds: number, pollPauseMs: number}} Timing
 * @typedef {{
 *   url: URL, cursor: string, timing: Timing, token: () => Promise<string | null>,
 *   onFrame: (link: Link, frame: Frame) => void, onReady: (link: Link) => void, onEnd: (link: Link, end: End) => void,
 * }} LinkOptions `url` is the service's, `cursor` where to go on from
 */

/** @type {Timing} `pingMs` null is what the service says */
export const USUAL_TIMING = {
  openingMs: 15_000,
  pingMs: null,
  graceMs: 10_000,
  probingMs: 3_000,
  shortestWaitMs: 500,
  longestWaitMs: 30_000,
  laterMs: 5_000,
  refusedMs: 30_000,
  renewMs: 10_000,
  upgradeMs: 3_000,
  longestUpgradeMs: 300_000,
  pollSeconds: 25,
  pollPauseMs: 1_000,
};

/** What a close code asks for. @param {number} code @returns {Advice} */
export function adviceOf(code) {
  switch (code) {
    case 1000:
    case 1009:
    case 4400:
      return 'stop';
    case 4403:
      return 'refused';
    case 4401:
      return 'token';
    case 1012:
      return 'soon';
    case 4429:
    case 4503:
      return 'later';
    default:
      return 'again';
  }
}

/** The same for the stable code of an error, in an answer or at the end of a stream. @type {Record<string, Advice>} */
const ADVICE_OF_ERRORS = {
  unauthorized: 'token',
  forbidden: 'refused',
  user_blocked: 'refused',
  account_erased: 'refused',
  invalid_request: 'stop',
  too_many_requests: 'later',
  unavailable: 'later',
  not_ready: 'later',
};

/** What all kinds have in common: a token first, then silence is watched until the end. */
export class Link {
  kind = '';
  token = '';
  /** All that was missed has been told, or is about to be. */
  isReady = false;
  /** A request has left, and nothing has come from the service so far: something in between may not let it through. */
  isUnheard = false;
  saidDegraded = false;
  startedAt = performance.now();
  #isOver = false;
  #pingMs = USUAL_PING_MS;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #deadline;

  /** @param {LinkOptions} options */
  constructor(options) {
    this.options = options;
  }

  async start() {
    this.expectWithin(this.options.timing.openingMs);
    try {
      const token = await this.options.token();
      if (this.#isOver) return;
      if (!token) return this.end({ advice: 'signed-out' });
      this.token = token;
      this.isUnheard = true;
      await this.dial();
    } catch {
      this.end({ advice: 'again' });
    }
  }

  get isOver() {
    return this.#isOver;
  }

  /** Leave without a word to the owner. */
  close() {
    this.#isOver = true;
    clearTimeout(this.#deadline);
    this.hangUp();
  }

  /** @param {End} end */
  end(end) {
    if (this.#isOver) return;
    this.close();
    this.options.onEnd(this, end);
  }

  /** @param {Frame} frame */
  heard(frame) {
    if (this.#isOver) return;
    this.isUnheard = false;
    if (frame.type === 'welcome') this.#pingMs = this.options.timing.pingMs ?? frame.data.pingSeconds * 1000;
    if (frame.type === 'system.degraded') this.saidDegraded = true;
    this.#watch();
    this.options.onFrame(this, frame);
  }

  ready() {
    if (this.isReady || this.#isOver) return;
    this.isReady = true;
    this.options.onReady(this);
  }

  /** End unless something comes by then. @param {number} milliseconds */
  expectWithin(milliseconds) {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.end({ advice: 'again' }), milliseconds);
  }

  /** Half-way through its patience a link that can ask does so: only one that does not answer is given up. */
  #watch() {
    const half = this.options.timing.graceMs / 2;
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => {
      this.expectWithin(half);
      this.send({ type: 'ping' });
    }, this.#pingMs + half);
  }

  /** @param {string} path @param {Record<string, string | number>} query empty values are left out */
  address(path, query) {
    const url = new URL(path, this.options.url);
    for (const [name, value] of Object.entries(query)) if (value !== '') url.searchParams.set(name, String(value));
    return url;
  }

  /** Tell the service something; false where that cannot be. @param {object} _message @returns {boolean} */
  send(_message) {
    return false;
  }

  /** Open it; a failure may be thrown. @returns {void | Promise<void>} */
  dial() {}

  hangUp() {}
}

/** A WebSocket. It is ready when its first ping is answered: the service tells what was missed before. */
export class SocketLink extends Link {
  kind = 'socket';
  /** @type {WebSocket | null} */ #socket = null;
  /** The code of the last complaint: it says more than the close code after it. @type {string | undefined} */ #complaint;

  /** @override */
  dial() {
    const url = this.address('ws', { since: this.options.cursor });
    url.protocol = url.protocol.replace('http', 'ws');
    const socket = new WebSocket(url, [PROTOCOL, `bearer.${this.token}`]);
    this.#socket = socket;
    socket.onmessage = (event) => this.#take(JSON.parse(event.data));
    socket.onclose = ({ code }) => {
      // A proxy may let it open and nothing through; it closes without a code of ours.
      if (code >= 4000 || code === 1012) this.isUnheard = false;
      const advice = adviceOf(code);
      this.end({ advice, code: (advice === 'refused' && this.#complaint) || code });
    };
  }

  /** @param {Frame} frame */
  #take(frame) {
    if (frame.type === 'welcome') this.send({ type: 'ping' });
    if (frame.type === 'error') this.#complaint = frame.data.code;
    this.heard(frame);
    if (frame.type === 'ping') this.ready();
  }

  /** @override @param {object} message */
  send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Let go at once: the closing handshake of a dead network would keep us waiting. @override */
  hangUp() {
    const socket = this.#socket;
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    socket.close();
  }
}

/** What requests have in common. */
class RequestLink extends Link {
  #abort = new AbortController();

  /** @override */
  hangUp() {
    this.#abort.abort();
  }

  /** Ask, and end if the answer is none. @param {URL} url @param {string} accepted @returns {Promise<Response | null>} */
  async request(url, accepted) {
    const headers = { Authorization: `Bearer ${this.token}`, Accept: accepted };
    const response = await fetch(url, { headers, signal: this.#abort.signal, cache: 'no-store' });
    if (response.ok && response.headers.get('Content-Type')?.startsWith(accepted)) return response;
    const { code = '' } = await response.json().catch(() => ({}));
    // Only the service's own errors have a code; anything else was said by somebody in between.
    const advice = ADVICE_OF_ERRORS[code];
    if (advice) this.isUnheard = false;
    const seconds = Number(response.headers.get('Retry-After'));
    this.end({ advice: advice ?? 'again', code: code || response.status, waitMs: seconds * 1000 || undefined });
    return null;
  }
}

/** Server-sent events. It is ready at its first event, which a proxy that holds answers back never lets through. */
export class StreamLink extends RequestLink {
  kind = 'stream';
  /** @type {End} */ #end = { advice: 'soon' };

  /** @override */
  async dial() {
    const response = await this.request(this.address('events', { after: this.options.cursor }), 'text/event-stream');
    if (!response?.body) return;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const events = (text + part.value).split('\n\n');
      text = events.pop() ?? '';
      events.forEach((event) => this.#take(event));
    }
    this.end(this.isUnheard ? { advice: 'again' } : this.#end);
  }

  /** @param {string} event */
  #take(event) {
    const data = event.split('\n').filter((line) => line.startsWith('data:'));
    if (!data.length) return;
    const frame = JSON.parse(data.map((line) => line.slice(5)).join('\n'));
    const code = frame.type === 'error' ? frame.data.code : undefined;
    if (code) this.#end = { advice: ADVICE_OF_ERRORS[code] ?? 'again', code };
    this.heard(frame);
    this.ready();
  }
}

/** One request after the other, each answered when something has happened. It is ready at the first answer. */
export class PollLink extends RequestLink {
  kind = 'poll';
  #hasAsked = false;

  /** @override */
  async dial() {
    const { timing, token } = this.options;
    let cursor = this.options.cursor;
    while (!this.isOver) {
      const began = performance.now();
      if (this.#hasAsked) this.token = (await token()) ?? '';
      if (!this.token) return this.end({ advice: 'signed-out' });
      const answer = await this.#ask(cursor);
      if (!answer) return;
      this.isUnheard = false;
      this.expectWithin(timing.laterMs + timing.graceMs);
      answer.events.forEach((/** @type {Frame} */ frame) => this.heard(frame));
      this.ready();
      // Without a cursor the answer is a snapshot, at once; and a service that is about to stop does not wait either.
      const pauseMs = answer.cursor ? timing.pollPauseMs : timing.laterMs;
      if (!answer.events.length || !answer.cursor) await this.#rest(began + pauseMs - performance.now());
      cursor = answer.cursor ?? '';
    }
  }

  /** @param {string} cursor */
  async #ask(cursor) {
    const { pollSeconds, graceMs, openingMs } = this.options.timing;
    // The first is answered at once, so that a network which lets nothing through is found out soon.
    const wait = this.#hasAsked ? pollSeconds : 0;
    this.expectWithin(this.#hasAsked ? wait * 1000 + graceMs : openingMs);
    this.#hasAsked = true;
    const response = await this.request(this.address('events', { after: cursor, wait }), 'application/json');
    return response && response.json();
  }

  /** @param {number} milliseconds */
  #rest(milliseconds) {
    return new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)));
  }
}
