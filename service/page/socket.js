/** One live connection to the service: opens it, notices silence, comes back. */

const PROTOCOL = 'darkroom.v1';
const OPENING_MS = 15_000;
const PROBE_MS = 5_000;
const DEFAULT_PING_SECONDS = 25;
const GRACE_SECONDS = 15;
const STEADY_MS = 10_000;
const LONGEST_WAIT_MS = 30_000;
const SESSION_REFUSED = 4401;

/** @typedef {'live' | 'reconnecting' | 'offline'} ConnectionState */
/** @typedef {{type: string, id?: string, time?: string, job?: any, data?: any}} Message */

/**
 * What a close code asks for.
 * @param {number} code @returns {'stop' | 'now' | 'later' | 'again'}
 */
export function afterClose(code) {
  switch (code) {
    case 1000:
    case 1009:
    case 4400:
    case 4403:
      return 'stop';
    case 1012:
      return 'now';
    case 4429:
    case 4503:
      return 'later';
    default:
      return 'again';
  }
}

/**
 * Full jitter: anything between nothing and a ceiling that doubles, so that a crowd does not return as one.
 * @param {'now' | 'later' | 'again'} plan @param {number} attempt counted from 0 @param {() => number} random
 */
export function waitMs(plan, attempt, random = Math.random) {
  const ceiling = Math.min(LONGEST_WAIT_MS, 500 * 2 ** attempt);
  return (plan === 'later' ? 5_000 : 0) + random() * ceiling;
}

export class LiveSocket {
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #deadline;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #retry;
  #attempt = 0;
  #isLive = false;
  #isStopped = true;
  #isOpening = false;
  #openedAt = 0;
  #silenceMs = 0;
  #lastId = '';
  #healedId = '';
  #token = '';
  /** @type {string | undefined} */ #refusedToken;

  /**
   * @param {{
   *   url: string, token: (options: {refused?: string}) => Promise<string>, isHopeless: (error: unknown) => boolean,
   *   onMessage: (message: Message) => void, onState: (state: ConnectionState) => void,
   * }} options `isHopeless` says that no token will ever come
   */
  constructor(options) {
    this.options = options;
  }

  start() {
    this.#isStopped = false;
    for (const event of ['online', 'offline', 'pageshow']) addEventListener(event, this.#nudge);
    document.addEventListener('visibilitychange', this.#nudge);
    void this.#connect();
  }

  stop() {
    this.#isStopped = true;
    for (const event of ['online', 'offline', 'pageshow']) removeEventListener(event, this.#nudge);
    document.removeEventListener('visibilitychange', this.#nudge);
    this.#drop();
    this.#tell();
  }

  async #connect() {
    if (this.#isStopped || this.#isOpening) return;
    this.#isOpening = true;
    this.#tell();
    try {
      this.#token = await this.options.token({ refused: this.#refusedToken });
      if (!this.#isStopped) this.#open();
    } catch (error) {
      if (this.options.isHopeless(error)) this.stop();
      else this.#comeBack('again');
    } finally {
      this.#isOpening = false;
    }
  }

  #open() {
    const socket = new WebSocket(this.options.url, [PROTOCOL, `bearer.${this.#token}`]);
    this.#socket = socket;
    this.#openedAt = Date.now();
    this.#silenceMs = (DEFAULT_PING_SECONDS + GRACE_SECONDS) * 1000;
    this.#expectFrameWithin(OPENING_MS);
    socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    socket.onclose = (event) => this.#closed(event.code);
  }

  /** @param {Message} message */
  #receive(message) {
    if (message.type === 'welcome') this.#welcomed(message.data);
    this.#expectFrameWithin(this.#silenceMs);
    if (message.id && message.id > this.#lastId) this.#lastId = message.id;
    if (message.type === 'ping') this.#checkForGap(message.data?.newestId);
    this.options.onMessage(message);
  }

  /** @param {{pingSeconds?: number} | undefined} data */
  #welcomed(data) {
    this.#isLive = true;
    this.#refusedToken = undefined;
    this.#silenceMs = ((data?.pingSeconds ?? DEFAULT_PING_SECONDS) + GRACE_SECONDS) * 1000;
    this.#tell();
  }

  /**
   * The log is ahead of us: give the event a moment, then fetch a new snapshot, once for each id.
   * @param {string | undefined} newestId
   */
  #checkForGap(newestId) {
    if (!newestId || newestId <= this.#lastId || newestId === this.#healedId) return;
    const socket = this.#socket;
    this.#healedId = newestId;
    setTimeout(() => {
      if (socket === this.#socket && this.#lastId < newestId) this.#lost();
    }, PROBE_MS);
  }

  /** @param {number} milliseconds */
  #expectFrameWithin(milliseconds) {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#lost(), milliseconds);
  }

  #lost() {
    this.#drop();
    this.#comeBack('again');
  }

  /** @param {number} code */
  #closed(code) {
    if (code === SESSION_REFUSED) this.#refusedToken = this.#token;
    this.#drop();
    const plan = afterClose(code);
    if (plan === 'stop') this.stop();
    else this.#comeBack(plan);
  }

  /** Let go of the socket at once: the closing handshake of a dead network would keep us waiting. */
  #drop() {
    clearTimeout(this.#deadline);
    clearTimeout(this.#retry);
    if (this.#isLive && Date.now() - this.#openedAt > STEADY_MS) this.#attempt = 0;
    const socket = this.#socket;
    this.#socket = null;
    this.#isLive = false;
    if (!socket) return;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }

  /** @param {'now' | 'later' | 'again'} plan */
  #comeBack(plan) {
    if (this.#isStopped) return;
    this.#tell();
    this.#retry = setTimeout(() => void this.#connect(), waitMs(plan, this.#attempt));
    this.#attempt += plan === 'now' ? 0 : 1;
  }

  /** The network or the page came or went: ask whether the socket still lives, or try at once. */
  #nudge = () => {
    if (this.#isLive) this.#probe();
    else if (!this.#socket && document.visibilityState === 'visible') {
      clearTimeout(this.#retry);
      void this.#connect();
    }
    this.#tell();
  };

  #probe() {
    this.#socket?.send('{"type":"ping"}');
    this.#expectFrameWithin(PROBE_MS);
  }

  #tell() {
    const isOffline = this.#isStopped || navigator.onLine === false;
    this.options.onState(this.#isLive ? 'live' : isOffline ? 'offline' : 'reconnecting');
  }
}
