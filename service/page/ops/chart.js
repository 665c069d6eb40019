/** A line chart of the last hour: lines told apart by dashes as well as colours, and the same in a table. */

import { html } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { written } from './units.js';

/** @typedef {import('./feed.js').History} History */
/** @typedef {import('./units.js').Unit} Unit */
/** @typedef {{name: string, label: string}} Line `name` is the figure's */

const HOUR_MS = 3_600_000;
const [WIDTH, HEIGHT] = [600, 140];
/** A young task has no hour behind it yet: its charts show what there is, and no less than this. */
const SHORTEST_MS = 300_000;
const MINUTE_MS = 60_000;
const STEPS = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];
/** A gap longer than this is shown as one. */
const GAP_MS = 35_000;

/** The round number, in its unit, that all values are under. @param {number} highest @param {Unit} unit */
function ceiling(highest, unit) {
  if (highest <= 0) return 1;
  const one = unit === 'bytes' ? 2 ** 20 : 1;
  const power = 10 ** Math.floor(Math.log10(highest / one)) * one;
  return (STEPS.find((step) => step * power >= highest) ?? 10) * power;
}

/** How much of the hour there is to show, in whole minutes. @param {number[]} at */
function spanOf(at) {
  const passed = at.length > 0 ? at[at.length - 1] - at[0] : 0;
  return Math.ceil(Math.min(HOUR_MS, Math.max(SHORTEST_MS, passed)) / MINUTE_MS) * MINUTE_MS;
}

/**
 * @param {number[]} at @param {(number | null)[]} values @param {{top: number, end: number, span: number}} scale
 * @returns {string} an SVG path
 */
function pathOf(at, values, { top, end, span }) {
  let isDrawing = false;
  const parts = at.map((moment, index) => {
    const value = values[index];
    if (value === null || value === undefined) {
      isDrawing = false;
      return '';
    }
    const isGap = !isDrawing || moment - at[index - 1] > GAP_MS;
    isDrawing = true;
    const x = WIDTH * (1 - (end - moment) / span);
    const y = HEIGHT * (1 - value / top);
    // A dot for what stands alone: a line of no length has round ends.
    return `${isGap ? `M${x.toFixed(1)} ${y.toFixed(1)}h0` : ''}L${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  return parts.join('');
}

/** @param {(number | null)[]} values */
function summary(values) {
  const known = /** @type {number[]} */ (values.filter((value) => value !== null && value !== undefined));
  if (known.length === 0) return { least: null, most: null, last: null };
  return { least: Math.min(...known), most: Math.max(...known), last: values.at(-1) ?? null };
}

/** @param {{id: string, title: string, unit: Unit, lines: Line[], history: History, most?: number}} props `most`: what the scale shows at least */
export function Chart({ id, title, unit, lines, history, most = 0 }) {
  const { i18n } = usePage();
  const columns = lines.map(({ name }) => history.figures[name] ?? []);
  const summaries = columns.map(summary);
  const top = ceiling(Math.max(most, ...summaries.map(({ most: highest }) => highest ?? 0)), unit);
  const scale = { top, end: history.at.at(-1) ?? 0, span: spanOf(history.at) };
  const ago = new Intl.RelativeTimeFormat(i18n.language).format(-scale.span / MINUTE_MS, 'minute');
  const told = lines.map(({ label }, index) =>
    i18n.t('ops.chart.line', { label, last: written(i18n, summaries[index].last, unit), most: written(i18n, summaries[index].most, unit) }),
  );
  return html`<figure class="chart" data-testid=${`chart-${id}`}>
    <figcaption>
      <h3>${title}</h3>
      <ul class="legend">
        ${lines.map(
          ({ name, label }, index) => html`<li key=${name}>
            <svg class="sample" viewBox="0 0 24 8" aria-hidden="true"><path class=${`line line-${index}`} d="M0 4h24" /></svg>
            ${label} <b>${written(i18n, summaries[index].last, unit)}</b>
          </li>`,
        )}
      </ul>
    </figcaption>
    <div class="plot">
      <span class="scale" aria-hidden="true">${written(i18n, top, unit)}</span>
      <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${`${title}. ${told.join(' ')}`}>
        ${[0, 0.5, 1].map((share) => html`<path key=${share} class="grid" d=${`M0 ${HEIGHT * share}H${WIDTH}`} />`)}
        ${lines.map(({ name }, index) => html`<path key=${name} class=${`line line-${index}`} d=${pathOf(history.at, columns[index], scale)} />`)}
      </svg>
      <span aria-hidden="true">${ago}</span>
      <span aria-hidden="true">${i18n.t('ops.chart.now')}</span>
    </div>
    <details>
      <summary>${i18n.t('ops.chart.table')}</summary>
      <div class="scrolling" tabindex="0" role="region" aria-label=${title}>
        <table>
          <thead>
            <tr>${['figure', 'last', 'least', 'most'].map((key) => html`<th key=${key} scope="col">${i18n.t(`ops.chart.${key}`)}</th>`)}</tr>
          </thead>
          <tbody>
            ${lines.map(
              ({ name, label }, index) => html`<tr key=${name}>
                <th scope="row">${label}</th>
                ${['last', 'least', 'most'].map(
                  (key) => html`<td key=${key}>${written(i18n, summaries[index][/** @type {'last'} */ (key)], unit)}</td>`,
                )}
              </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </details>
  </figure>`;
}
