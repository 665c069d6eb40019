/** The figures as they come: one stream of events, opened again whenever it ends, and the hour behind them. */

import { SessionEnded } from '../session.js';

/**
 * @typedef {{name: string, version: string, startedAt: string, state: string, embedded: boolean}} Task
 * @typedef {{condition: string, breaker: string, limit: number, inUse: number, waiting: number, retryAfterSeconds: number,
 *   p95: number | null, callsPerMinute: number | null, errorsPerMinute: number | null, throttledPerMinute: number | null}} Gate
 * @typedef {{waiting: number | null, inFlight: number | null, delayed: number | null, dead: number | null}} Queue
 * @typedef {{
 *   at: string, figures: Record<string, number | null>, bounds: Record<string, [number, number | null]>,
 *   counts: Record<string, number>, queues: Record<string, Queue>, gates: Record<string, Gate>,
 *   degraded: {part: string, condition: string, reason: string, since: string}[],
 * }} Now
 * @typedef {{everySeconds: number, at: number[], figures: Record<string, (number | null)[]>}} History
 * @typedef {'connecting' | 'live' | 'offline' | 'signed-out' | 'refused'} Connection
 * @typedef {{connection: Connection, task: Task | null, now: Now | null, history: History}} State
 */

const HOUR_MS = 3_600_000;
const SILENCE_MS = 30_000;
const SHORTEST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;

/** @type {History} */
const NO_HISTORY = { everySeconds: 10, at: [], figures: {} };

/**
 * The hour with one more moment at its end, unless the last one is too near.
 * @param {History} history @param {Now} now @returns {History}
 */
export function extended(history, now) {
  const at = Date.parse(now.at);
  const last = history.at.at(-1) ?? 0;
  if (at - last < (history.everySeconds - 1) * 1_000) return history;
  const first = history.at.findIndex((moment) => moment > at - HOUR_MS);
  const from = first < 0 ? history.at.length : first;
  const names = new Set([...Object.keys(history.figures), ...Object.keys(now.figures)]);
  const figures = [...names].map((name) => {
    const before = history.figures[name] ?? history.at.map(() => null);
    return [name, [...before.slice(from), now.figures[name] ?? null]];
  });
  return { ...history, at: [...history.at.slice(from), at], figures: Object.fromEntries(figures) };
}

/** Wait, or until the browser says that the network is back. @param {number} milliseconds @param {AbortSignal} signal */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const options = { once: true, signal };
    addEventListener('online', resolve, options);
    signal.addEventListener('abort', resolve, { once: true });
    setTimeout(resolve, milliseconds);
  });
}

export class Feed {
  /** @type {State} */ state = { connection: 'connecting', task: null, now: null, history: NO_HISTORY };
  /** @type {Set<() => void>} */ #subscribers = new Set();
  #abort = new AbortController();
  #waitMs = SHORTEST_WAIT_MS;
  /** @type {string | undefined} */ #refused;

  /** @param {import('../session.js').Session} session */
  constructor(session) {
    this.session = session;
  }

  /** @param {() => void} notify @returns {() => void} ends the subscription */
  subscribe(notify) {
    this.#subscribers.add(notify);
    return () => void this.#subscribers.delete(notify);
  }

  /** Follow until `stop`. */
  async start() {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      const isOver = await this.#follow(signal).catch((error) => this.#note(error));
      if (isOver || signal.aborted) return;
      await pause(this.#waitMs * (0.5 + Math.random() / 2), signal);
      this.#waitMs = Math.min(LONGEST_WAIT_MS, this.#waitMs * 2);
    }
  }

  stop() {
    this.#abort.abort();
  }

  /** @param {any} error @returns {boolean} whether trying again is of no use */
  #note(error) {
    if (this.#abort.signal.aborted) return true;
    const isSignedOut = error instanceof SessionEnded;
    this.#set({ connection: isSignedOut ? 'signed-out' : 'offline' });
    return isSignedOut;
  }

  /** @param {AbortSignal} signal @returns {Promise<boolean>} whether trying again is of no use */
  async #follow(signal) {
    const token = await this.session.token({ refused: this.#refused });
    this.#refused = undefined;
    const silence = new AbortController();
    const headers = { Authorization: `Bearer ${token}`, Accept: 'text/event-stream' };
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      const response = await fetch('/ops/stream', { headers, cache: 'no-store', signal: AbortSignal.any([signal, silence.signal]) });
      if (response.status === 401) this.#refused = token;
      if (response.status === 403) this.#set({ connection: 'refused' });
      if (!response.ok || !response.body) return response.status === 403 || this.#lose();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        const events = (text + part.value).split('\n\n');
        text = events.pop() ?? '';
        events.forEach((event) => this.#take(JSON.parse(event.slice('data: '.length))));
      }
      return this.#lose();
    } finally {
      clearTimeout(timer);
    }
  }

  #lose() {
    this.#set({ connection: 'offline' });
    return false;
  }

  /** @param {{task: Task, now: Now, history?: History}} told */
  #take({ task, now, history }) {
    this.#waitMs = SHORTEST_WAIT_MS;
    this.#set({ connection: 'live', task, now, history: extended(history ?? this.state.history, now) });
  }

  /** @param {Partial<State>} changes */
  #set(changes) {
    this.state = { ...this.state, ...changes };
    this.#subscribers.forEach((notify) => notify());
  }
}
