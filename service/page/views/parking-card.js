/** One sighting: the car, its plate, where and when. */

import { BoxedPhoto, boxWords } from '../components/boxes.js';
import { Picture } from '../components/compare.js';
import { Place } from '../components/place.js';
import { usePage } from '../page.js';
import { html } from '../vendor/preact-htm.js';
import { openPlaceAndTime } from './parking-given.js';
import { goToReport } from './parking-reports.js';

/** @typedef {import('../page.js').CardProps} CardProps */
/** @typedef {import('../i18n.js').I18n} I18n */
/**
 * @typedef {{
 *   outcome: 'sighting' | 'no_vehicle' | 'no_plate', plate?: string, width: number, height: number, vehiclesSeen?: number,
 *   vehicle?: {label: string, confidence: number, box: import('../components/boxes.js').Box},
 *   latitude: number, longitude: number, captureTime: string, positionSource: string, timeSource: string, reportId?: string,
 * }} Sighting
 */

/** @param {I18n} i18n @param {Sighting} sighting */
function vehicleWords(i18n, { vehicle, width, height }) {
  if (!vehicle) return i18n.t('parking.no_vehicle');
  const { label, confidence, box } = vehicle;
  const kind = i18n.firstOf([`parking.vehicle.${label}`], label);
  return i18n.t('parking.vehicle', { kind, confidence: i18n.percent(confidence), where: boxWords(i18n, box, { width, height }) });
}

/** @param {CardProps} props */
export function ParkingSheet({ job, preview, studio }) {
  const { i18n } = usePage();
  /** @type {Sighting} */
  const sighting = /** @type {any} */ (job.result ?? {});
  const { vehicle, width = 1, height = 1 } = sighting;
  const refresh = () => studio.refreshLinks(job.jobId);
  return html`<${BoxedPhoto}
      src=${preview ?? job.inputImageSignedUrl} alt=${i18n.t('picture.original')} size=${{ width, height }}
      boxes=${vehicle ? [vehicle.box] : []} words=${vehicleWords(i18n, sighting)} onRefresh=${refresh}
    />
    ${job.outputImageUrl &&
    html`<div class="crop">
      <${Picture}
        testId="result-image" src=${job.outputImageUrl} alt=${i18n.t('parking.picture.result', { name: sighting.plate ?? '' })}
        onRefresh=${refresh}
      />
    </div>`}`;
}

/** @param {CardProps} props */
export function ParkingNotes({ job, view }) {
  const { i18n } = usePage();
  if (job.failure?.code === 'missing_metadata') return html`<${MissingHint} />`;
  if (job.status !== 'completed' || !job.result) return null;
  /** @type {Sighting} */
  const sighting = /** @type {any} */ (job.result);
  const { outcome, plate, reportId, vehiclesSeen = 0 } = sighting;
  return html`<div class="sighting" data-testid="sighting" data-outcome=${outcome}>
    <p data-testid="outcome">${i18n.of(view, outcome, { plate: plate ?? '' })}</p>
    ${vehiclesSeen > 1 && html`<p class="facts">${i18n.t('parking.others', { count: i18n.number(vehiclesSeen - 1) })}</p>`}
    <${WhereAndWhen} sighting=${sighting} />
    ${reportId &&
    html`<p>
      <a href=${`#${view.id}/${reportId}`} data-testid="report-link" onClick=${() => goToReport(reportId)}>${i18n.t('parking.report')}</a>
    </p>`}
  </div>`;
}

function MissingHint() {
  const { i18n } = usePage();
  return html`<div class="hint" data-testid="missing-hint">
    <p>${i18n.t('parking.missingHint')}</p>
    <button type="button" class="small" data-testid="give" onClick=${openPlaceAndTime}>${i18n.t('parking.give')}</button>
  </div>`;
}

/** @param {{sighting: Sighting}} props */
function WhereAndWhen({ sighting }) {
  const { i18n } = usePage();
  const { latitude, longitude, captureTime, positionSource, timeSource } = sighting;
  /** @param {string} source */
  const from = (source) => html`<small>${i18n.firstOf([`parking.source.${source}`], source)}</small>`;
  return html`<dl class="where">
    ${latitude !== undefined &&
    html`<div>
      <dt>${i18n.t('parking.place')}</dt>
      <dd><${Place} latitude=${latitude} longitude=${longitude} /> ${from(positionSource)}</dd>
    </div>`}
    ${captureTime &&
    html`<div>
      <dt>${i18n.t('parking.time')}</dt>
      <dd><span data-testid="capture-time">${i18n.localMoment(captureTime)}</span> ${from(timeSource)}</dd>
    </div>`}
  </dl>`;
}
