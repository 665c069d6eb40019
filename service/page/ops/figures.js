/** The figures of now: cards for the eye, tables for gates, queues and percentiles. */

import { html } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { UNKNOWN, written } from './units.js';

/** @typedef {import('./feed.js').Now} Now */
/** @typedef {import('./units.js').Unit} Unit */

const QUEUES = ['jobs', 'uploads', 'webhooks'];
const TIMED = ['queueWait', 'job', 'gemini', 'request', 'loopLag'];
const SHARES = ['p50', 'p95', 'p99'];

/** @param {{now: Now}} props */
export function Cards({ now }) {
  const { i18n } = usePage();
  const { figures } = now;
  const say = (/** @type {string} */ name, /** @type {Unit} */ unit = 'count') => written(i18n, figures[name], unit);
  const clients = ['sockets', 'streams', 'polls'];
  const cards = [
    ['slots', `${say('slotsBusy')} / ${say('slots')}`, i18n.t('ops.card.slots.note', { rate: say('jobsEndedPerMinute', 'rate') })],
    ['queue', say('queueWaiting'), i18n.t('ops.card.queue.note', { inFlight: say('queueInFlight') })],
    ['oldest', say('queueOldestSeconds', 'seconds'), i18n.t('ops.card.oldest.note')],
    ['dead', say('deadLetters'), i18n.t('ops.card.dead.note')],
    ['gemini', say('geminiCallsPerMinute', 'rate'), i18n.t('ops.card.gemini.note', { errors: say('geminiErrorsPerMinute', 'rate'), throttled: say('geminiThrottledPerMinute', 'rate') })],
    ['clients', i18n.number(clients.reduce((sum, name) => sum + (figures[name] ?? 0), 0)), clients.map((name) => i18n.count(`ops.client.${name}`, figures[name] ?? 0)).join(', ')],
    ['requests', say('requestsPerMinute', 'rate'), i18n.t('ops.card.requests.note', { refused: say('status4xxPerMinute', 'rate'), failed: say('status5xxPerMinute', 'rate') })],
    ['process', say('memoryBytes', 'bytes'), i18n.t('ops.card.process.note', { cpu: say('cpu', 'share'), lag: say('loopLag.p99', 'seconds') })],
  ];
  const alarming = { dead: figures.deadLetters, requests: figures.status5xxPerMinute };
  return html`<ul class="cards" aria-label=${i18n.t('ops.cards')}>
    ${cards.map(
      ([id, value, note]) => html`<li key=${id} class="figure" data-testid=${`card-${id}`} data-alarming=${alarming[/** @type {'dead'} */ (id)] ? 'true' : undefined}>
        <h3>${i18n.t(`ops.card.${id}`)}</h3>
        <p class="value" data-testid=${`value-${id}`}>${value}</p>
        <p class="note">${note}</p>
      </li>`,
    )}
  </ul>`;
}

/**
 * @param {{id: string, title: string, note: string, heads: string[], rows: (string | {words: string, hint?: string})[][]}} props
 *   the first of a row names it
 */
function Table({ id, title, note, heads, rows }) {
  return html`<section class="panel" data-testid=${`table-${id}`}>
    <h3>${title}</h3>
    <p class="note">${note}</p>
    <div class="scrolling" tabindex="0" role="region" aria-label=${title}>
      <table>
        <thead>
          <tr>${heads.map((head) => html`<th key=${head} scope="col">${head}</th>`)}</tr>
        </thead>
        <tbody>
          ${rows.map(
            ([first, ...others], row) => html`<tr key=${row}>
              <th scope="row">${first}</th>
              ${others.map((cell, index) => html`<td key=${index}>${typeof cell === 'string' ? cell : html`${cell.words} ${cell.hint && html`<small>${cell.hint}</small>`}`}</td>`)}
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`;
}

/** @param {{now: Now}} props */
export function Gates({ now }) {
  const { i18n } = usePage();
  const say = (/** @type {number | null} */ value, /** @type {Unit} */ unit = 'count') => written(i18n, value, unit);
  const heads = ['model', 'condition', 'breaker', 'inUse', 'waiting', 'calls', 'errors', 'throttled', 'p95'].map((key) => i18n.t(`ops.gates.${key}`));
  const rows = Object.entries(now.gates).map(([model, gate]) => [
    model,
    {
      words: i18n.t(`ops.condition.${gate.condition}`),
      hint: gate.retryAfterSeconds > 0 ? i18n.t('ops.gates.retry', { time: say(gate.retryAfterSeconds, 'seconds') }) : '',
    },
    i18n.t(`ops.breaker.${gate.breaker}`),
    `${say(gate.inUse)} / ${say(gate.limit)}`,
    say(gate.waiting),
    say(gate.callsPerMinute, 'rate'),
    say(gate.errorsPerMinute, 'rate'),
    say(gate.throttledPerMinute, 'rate'),
    say(gate.p95, 'seconds'),
  ]);
  return html`<${Table} id="gates" title=${i18n.t('ops.gates')} note=${i18n.t('ops.gates.note')} heads=${heads} rows=${rows} />`;
}

/** @param {{now: Now}} props */
export function Queues({ now }) {
  const { i18n } = usePage();
  const heads = ['name', 'waiting', 'inFlight', 'delayed', 'dead'].map((key) => i18n.t(`ops.queues.${key}`));
  const rows = QUEUES.map((queue) => {
    const { waiting, inFlight, delayed, dead } = now.queues[queue];
    return [i18n.t(`ops.queue.${queue}`), ...[waiting, inFlight, delayed, dead].map((depth) => written(i18n, depth, 'count'))];
  });
  return html`<${Table} id="queues" title=${i18n.t('ops.queues')} note=${i18n.t('ops.queues.note')} heads=${heads} rows=${rows} />`;
}

/** @param {{now: Now}} props */
export function Percentiles({ now }) {
  const { i18n } = usePage();
  const heads = ['what', ...SHARES, 'count'].map((key) => i18n.t(`ops.percentiles.${key}`));
  const cell = (/** @type {string} */ name) => {
    const bounds = now.bounds[name];
    if (!bounds) return UNKNOWN;
    const [low, high] = bounds.map((bound) => (bound === null ? '' : written(i18n, bound, 'seconds')));
    const key = !high ? 'over' : bounds[0] === 0 ? 'under' : 'between';
    return { words: written(i18n, now.figures[name], 'seconds'), hint: i18n.t(`ops.percentiles.${key}`, { low, high }) };
  };
  const rows = TIMED.map((kind) => [
    i18n.t(`ops.timed.${kind}`),
    ...SHARES.map((share) => cell(`${kind}.${share}`)),
    written(i18n, now.counts[kind], 'count'),
  ]);
  return html`<${Table} id="percentiles" title=${i18n.t('ops.percentiles')} note=${i18n.t('ops.percentiles.note')} heads=${heads} rows=${rows} />`;
}
