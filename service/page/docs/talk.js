/** A socket that a person talks over by hand, and the last of what was said. */

const MOST_ENTRIES = 200;
const PROTOCOL = 'darkroom.v1';
/** Stands for the person's token in what is typed, so that none is ever on the screen. */
const TOKEN_MARK = '$TOKEN';
/** So long after a `resume` without an answer there was nothing to tell. */
const NOTHING_MISSED_MS = 1_000;
const ANSWERS = ['resync', 'snapshot', 'error'];

/**
 * @typedef {{number: number, at: Date, way: 'in' | 'out' | 'note', title: string, text: string}} Entry
 * @typedef {'closed' | 'opening' | 'open'} State
 * @typedef {{closed: (code: number) => string, nothingMissed: () => string}} NoteWords
 */

export class Talk {
  /** @type {State} */ state = 'closed';
  /** @type {Entry[]} */ entries = [];
  /** The newest event id that was told: where to go on from. */ cursor = '';
  /** The newest job told of that has not ended. */ jobId = '';
  /** @type {() => void} */ onChange = () => {};
  /** The token came with the upgrade. */ broughtToken = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #resuming;
  #count = 0;
  /** @type {WebSocket | null} */ #socket = null;

  /** @param {() => Promise<string>} token @param {NoteWords} words @param {number} [mostEntries] the oldest go first */
  constructor(token, words, mostEntries = MOST_ENTRIES) {
    this.token = token;
    this.words = words;
    this.mostEntries = mostEntries;
  }

  /** @param {{withToken: boolean, since: string}} options without a token the first message has to be a hello */
  async open({ withToken, since }) {
    this.broughtToken = withToken;
    const offers = withToken ? [PROTOCOL, `bearer.${await this.token()}`] : [PROTOCOL];
    const url = new URL('/ws', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    if (since) url.searchParams.set('since', since);
    this.#note(`GET ${url.pathname}${url.search}`, offers.map((offer) => offer.replace(/^(bearer\.).*/, `$1${TOKEN_MARK}`)).join(', '));
    this.#socket?.close();
    const socket = new WebSocket(url, offers);
    this.#socket = socket;
    this.#become('opening');
    socket.onopen = () => this.#become('open');
    socket.onmessage = ({ data }) => this.#hear(data);
    socket.onclose = ({ code, reason }) => {
      clearTimeout(this.#resuming);
      this.#note(String(code), [this.words.closed(code), reason].filter(Boolean).join('\n'));
      if (socket === this.#socket) this.#become('closed');
    };
  }

  close() {
    this.#socket?.close(1000);
  }

  /** @param {string} text a message, with the mark where the token goes @throws {SyntaxError} when it is no JSON */
  async send(text) {
    const message = JSON.parse(text);
    const shown = message.token === undefined ? message : { ...message, token: TOKEN_MARK };
    if (message.token === TOKEN_MARK) message.token = await this.token();
    this.#socket?.send(JSON.stringify(message));
    this.#add('out', titleOf(message), pretty(shown));
    if (message.type === 'resume') this.#expectNews();
  }

  #expectNews() {
    clearTimeout(this.#resuming);
    this.#resuming = setTimeout(() => this.#note(this.words.nothingMissed(), ''), NOTHING_MISSED_MS);
  }

  clear() {
    this.entries = [];
    this.onChange();
  }

  /** @param {string} data */
  #hear(data) {
    const message = JSON.parse(data);
    if (message.id || ANSWERS.includes(message.type)) clearTimeout(this.#resuming);
    if (message.id > this.cursor) this.cursor = message.id;
    for (const job of [...(message.data?.jobs ?? []), message.job].filter(Boolean)) {
      if (job.terminal === false) this.jobId = job.jobId;
    }
    this.#add('in', titleOf(message), pretty(message));
  }

  /** @param {string} title @param {string} text */
  #note(title, text) {
    this.#add('note', title, text);
  }

  /** @param {Entry['way']} way @param {string} title @param {string} text */
  #add(way, title, text) {
    this.#count += 1;
    this.entries = [...this.entries, { number: this.#count, at: new Date(), way, title, text }].slice(-this.mostEntries);
    this.onChange();
  }

  /** @param {State} state */
  #become(state) {
    this.state = state;
    this.onChange();
  }
}

/** @param {any} message */
function titleOf({ type, job, data }) {
  const about = job ? [job.jobId, `v${job.version}`, job.status] : [];
  const stage = data?.stage ? [data.stage, `${Math.round(100 * data.fraction)} %`] : [];
  return [type ?? '?', ...about, ...stage].join(' · ');
}

/** @param {any} message */
function pretty(message) {
  return JSON.stringify(message, null, 2);
}
