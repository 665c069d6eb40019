/** The charts of the last hour. */

import { html } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { Chart } from './chart.js';

/** @type {{id: string, unit: import('./units.js').Unit, names: string[], most?: number}[]} */
const CHARTS = [
  { id: 'slots', unit: 'count', names: ['slotsBusy', 'slots'] },
  { id: 'queue', unit: 'count', names: ['queueWaiting', 'queueInFlight', 'deadLetters'] },
  { id: 'oldest', unit: 'seconds', names: ['queueOldestSeconds'] },
  { id: 'jobs', unit: 'rate', names: ['jobsEndedPerMinute', 'jobsFailedPerMinute'] },
  { id: 'jobTimes', unit: 'seconds', names: ['job.p50', 'job.p95', 'job.p99'] },
  { id: 'waitTimes', unit: 'seconds', names: ['queueWait.p50', 'queueWait.p95', 'queueWait.p99'] },
  { id: 'gemini', unit: 'rate', names: ['geminiCallsPerMinute', 'geminiErrorsPerMinute', 'geminiThrottledPerMinute'] },
  { id: 'geminiTimes', unit: 'seconds', names: ['gemini.p50', 'gemini.p95', 'gemini.p99'] },
  { id: 'clients', unit: 'count', names: ['sockets', 'streams', 'polls'] },
  { id: 'requests', unit: 'rate', names: ['requestsPerMinute', 'status4xxPerMinute', 'status5xxPerMinute'] },
  { id: 'requestTimes', unit: 'seconds', names: ['request.p50', 'request.p95', 'request.p99'] },
  { id: 'loop', unit: 'seconds', names: ['loopLag.p50', 'loopLag.p99'] },
  { id: 'memory', unit: 'bytes', names: ['memoryBytes'] },
  { id: 'cpu', unit: 'share', names: ['cpu'], most: 1 },
];

/** @param {{history: import('./feed.js').History}} props */
export function Charts({ history }) {
  const { i18n } = usePage();
  const labelOf = (/** @type {string} */ name) => (/\.p\d+$/.test(name) ? i18n.t(`ops.line.${name.split('.')[1]}`) : i18n.t(`ops.line.${name}`));
  return html`<section aria-labelledby="charts-title">
    <h2 id="charts-title">${i18n.t('ops.charts')}</h2>
    <div class="charts">
      ${CHARTS.map(
        ({ id, unit, names, most }) => html`<${Chart}
          key=${id} id=${id} title=${i18n.t(`ops.chart.${id}`)} unit=${unit} history=${history} most=${most}
          lines=${names.map((name) => ({ name, label: labelOf(name) }))}
        />`,
      )}
    </div>
  </section>`;
}
