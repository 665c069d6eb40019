/** A live socket: connect as the person of this browser, see every message, send one's own. */

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { Talk } from './talk.js';

/** @typedef {{name: string, example: any}} Example */
/** @typedef {{code: number, meaning: string, reconnect: string}} Close */

const SIGNS = { in: '↓', out: '↑', note: '·' };
/** @type {Intl.DateTimeFormatOptions} */
const TO_THE_MILLISECOND = { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hourCycle: 'h23' };

/** @param {{name: string | null, examples: Example[], closeCodes: Close[]}} props */
export function Console({ name, examples, closeCodes }) {
  const { i18n, session } = usePage();
  const [, draw] = useState(0);
  const [problem, setProblem] = useState('');
  const [withToken, setWithToken] = useState(true);
  const talk = useMemo(() => new Talk(() => session.token(), noteWords(i18n, closeCodes)), []);
  // Where the token came with the upgrade, a hello is one too many, and ends the connection.
  const takesHello = talk.state === 'closed' ? !withToken : !talk.broughtToken;
  useEffect(() => {
    talk.onChange = () => draw((/** @type {number} */ count) => count + 1);
    return () => talk.close();
  }, []);
  /** @param {() => Promise<void>} act */
  const tried = async (act) => {
    setProblem('');
    try {
      await act();
    } catch (error) {
      setProblem(i18n.t(error instanceof SyntaxError ? 'docs.console.noJSON' : 'docs.console.signIn'));
    }
  };
  return html`<section class="console card" aria-labelledby="console" data-testid="console" data-state=${talk.state}>
    <h3 id="console">${i18n.t('docs.console')}</h3>
    <${Connection} talk=${talk} withToken=${withToken} onWithToken=${setWithToken} tried=${tried} />
    <${Message} talk=${talk} examples=${examples.filter(({ name: each }) => takesHello || each !== 'hello')} tried=${tried} />
    ${problem && html`<p class="problem" role="alert" data-testid="console-problem">${problem}</p>`}
    <${Log} entries=${talk.entries} />
    <button type="button" class="small" data-testid="clear" onClick=${() => talk.clear()}>${i18n.t('docs.console.clear')}</button>
  </section>`;
}

/** What the log says of the connection itself. @param {any} i18n @param {Close[]} codes @returns {import('./talk.js').NoteWords} */
function noteWords(i18n, codes) {
  const closed = (/** @type {number} */ code) => {
    const known = codes.find((each) => each.code === code);
    if (!known) return '';
    const meaning = i18n.firstOf([`docs.close.${code}`], known.meaning);
    return `${meaning}. ${i18n.t('docs.reconnect')} ${i18n.firstOf([`docs.reconnect.${known.reconnect}`], known.reconnect)}`;
  };
  return { closed, nothingMissed: () => i18n.t('docs.console.nothingMissed') };
}

/** @param {{talk: Talk, withToken: boolean, onWithToken: (withToken: boolean) => void, tried: (act: () => Promise<void>) => void}} props */
function Connection({ talk, withToken, onWithToken, tried }) {
  const { i18n } = usePage();
  const [since, setSince] = useState('');
  const isClosed = talk.state === 'closed';
  const press = () => (isClosed ? tried(() => talk.open({ withToken, since: since.trim() })) : talk.close());
  return html`<div class="controls">
    <button type="button" class="primary" data-testid="connect" onClick=${press}>
      ${i18n.t(isClosed ? 'docs.console.connect' : 'docs.console.disconnect')}
    </button>
    <span class="connection" role="status" data-state=${{ closed: 'offline', opening: 'connecting', open: 'live' }[talk.state]}>
      ${i18n.t(`docs.console.${talk.state}`)}
    </span>
    <label>
      <input type="checkbox" data-testid="with-token" checked=${withToken} onChange=${(/** @type {any} */ event) => onWithToken(event.target.checked)} />
      ${i18n.t('docs.console.withToken')}
    </label>
    <label class="since">
      <span>since</span>
      <input value=${since} placeholder=${talk.cursor || i18n.t('docs.console.cursor')} spellcheck=${false} autocomplete="off" onInput=${(/** @type {any} */ event) => setSince(event.target.value)} />
    </label>
  </div>`;
}

/** @param {{talk: Talk, examples: Example[], tried: (act: () => Promise<void>) => void}} props */
function Message({ talk, examples, tried }) {
  const { i18n } = usePage();
  const [text, setText] = useState('{"type": "ping"}');
  const isOpen = talk.state === 'open';
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (isOpen) tried(() => talk.send(text));
  };
  const sendByKey = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) submit(event);
  };
  return html`<form class="speak" onSubmit=${submit}>
    <div class="templates" role="group" aria-label=${i18n.t('docs.console.templates')}>
      ${examples.map(
        ({ name, example }) => html`<button
          key=${name} type="button" class="small" data-testid=${`template-${name}`}
          onClick=${() => setText(JSON.stringify(filled(example, talk)))}
        >${name}</button>`,
      )}
    </div>
    <label class="field">
      <span>${i18n.t('docs.console.message')}</span>
      <textarea
        rows="3" data-testid="message" value=${text} spellcheck=${false} aria-describedby="message-hint" aria-keyshortcuts="Control+Enter"
        onInput=${(/** @type {any} */ event) => setText(event.target.value)} onKeyDown=${sendByKey}
      ></textarea>
      <small id="message-hint">${i18n.t('docs.console.hint')}</small>
    </label>
    <button data-testid="send" aria-disabled=${!isOpen}>${i18n.t('docs.console.send')}</button>
  </form>`;
}

/** An example with what this conversation knows. @param {any} example @param {Talk} talk */
function filled(example, { cursor, jobId }) {
  const { since, ...others } = example;
  return {
    ...others,
    ...(since !== undefined && cursor && { since: cursor }),
    ...(since !== undefined && !cursor && example.type === 'resume' && { since: '' }),
    ...(example.jobId && jobId && { jobId }),
  };
}

/** @param {{entries: import('./talk.js').Entry[]}} props */
function Log({ entries }) {
  const { i18n } = usePage();
  const place = useRef(/** @type {any} */ (null));
  const follows = useRef(true);
  useLayoutEffect(() => {
    if (follows.current) place.current.scrollTop = place.current.scrollHeight;
  }, [entries]);
  const notice = () => {
    const { scrollTop, clientHeight, scrollHeight } = place.current;
    follows.current = scrollTop + clientHeight > scrollHeight - 40;
  };
  return html`<div class="log" role="log" tabindex="0" aria-label=${i18n.t('docs.console.log')} data-testid="log" ref=${place} onScroll=${notice}>
    ${entries.length === 0 && html`<p>${i18n.t('docs.console.empty')}</p>`}
    ${entries.map((entry) => html`<${Line} key=${entry.number} entry=${entry} />`)}
  </div>`;
}

/** @param {{entry: import('./talk.js').Entry}} props */
function Line({ entry: { at, way, title, text } }) {
  const { i18n } = usePage();
  return html`<details class="line" data-way=${way}>
    <summary>
      <time datetime=${at.toISOString()}>${new Intl.DateTimeFormat(i18n.language, TO_THE_MILLISECOND).format(at)}</time>
      <span aria-hidden="true">${SIGNS[way]}</span>
      <span class="unseen">${i18n.t(`docs.console.way.${way}`)}</span>
      <span class="title">${title}</span>
    </summary>
    <pre>${text}</pre>
  </details>`;
}
