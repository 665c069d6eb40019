/** The reports: the same car at the same place, twice. */

import { Picture } from '../components/compare.js';
import { Place } from '../components/place.js';
import { asProblem, usePage, useProblem } from '../page.js';
import { html, useEffect, useRef, useState } from '../vendor/preact-htm.js';

/** @typedef {import('../studio.js').Studio} Studio */
/** @typedef {import('../i18n.js').I18n} I18n */
/**
 * @typedef {{
 *   reportId: string, version: number, plateString: string, latitude: number, longitude: number, firstCaptureTime: string,
 *   lastCaptureTime: string, firstCroppedUrl?: string, secondCroppedUrl?: string, similarity?: number, reportBool: boolean,
 *   createdAt: string,
 * }} Report
 * @typedef {{reports: Report[], cursor?: string, isLoaded: boolean, hidden?: string}} Book `hidden` is one that was asked for
 *   and may not be read
 */

const PAGE_SIZE = 20;

/** @param {I18n} i18n @param {{reportBool: boolean, similarity?: number}} report */
export function verdictOf(i18n, { reportBool, similarity }) {
  if (reportBool) return i18n.t('report.confirmed');
  return i18n.t(similarity === undefined ? 'report.open' : 'report.different');
}

/** Take reports in, each in its newest version; newest reports first. @param {Report[]} known @param {Report[]} news @returns {Report[]} */
function merged(known, news) {
  const byId = new Map(known.map((report) => [report.reportId, report]));
  for (const report of news) {
    // The same version is welcome: its links are fresher.
    if (report.version >= (byId.get(report.reportId)?.version ?? 0)) byId.set(report.reportId, report);
  }
  return [...byId.values()].sort((a, b) => b.createdAt.localeCompare(a.createdAt));
}

/** @param {string} reportId */
const pathOf = (reportId) => `/reports/${encodeURIComponent(reportId)}`;

/** Go to a report that is on the page; where it is not, the address sees to it. @param {string} reportId */
export function goToReport(reportId) {
  const title = document.getElementById(`title-${reportId}`);
  title?.focus({ preventScroll: true });
  title?.scrollIntoView({ block: 'center' });
}

/** The reports as far as they were read, and the ways to read more. @param {Studio} studio */
function useReports(studio) {
  const [problem, setProblem] = useProblem();
  const [book, setBook] = useState(/** @type {Book} */ ({ reports: [], isLoaded: false }));
  /** @param {() => Promise<(book: Book) => Book>} reading */
  const take = async (reading) => {
    try {
      const change = await reading();
      setBook(change);
      setProblem(null);
    } catch (error) {
      setProblem(asProblem(error));
    }
  };
  /** @param {string} [cursor] of the page to read; without one it is the newest, and older ones stay */
  const readPage = (cursor) =>
    take(async () => {
      const query = new URLSearchParams({ limit: String(PAGE_SIZE), ...(cursor && { cursor }) });
      const { reports, nextCursor } = await studio.api.get(`/reports?${query}`);
      return (known) => {
        const isNext = cursor !== undefined || !known.isLoaded;
        return { reports: merged(known.reports, reports), isLoaded: true, cursor: isNext ? nextCursor : known.cursor };
      };
    });
  /** @param {string} reportId */
  const readOne = (reportId) =>
    take(async () => {
      const report = await studio.api.get(pathOf(reportId)).catch((error) => {
        if (error.code !== 'report_not_found') throw error;
      });
      return (known) => (report ? { ...known, reports: merged(known.reports, [report]) } : { ...known, hidden: reportId });
    });
  useEffect(() => {
    void readPage();
    // News may have been missed before a snapshot.
    const ends = [studio.client.on('report', ({ reportId }) => readOne(reportId)), studio.client.on('snapshot', () => readPage())];
    return () => ends.forEach((end) => end());
  }, [studio]);
  return { book, problem, readPage, readOne };
}

/** @param {{studio: Studio, detail: string}} props `detail` is the id of the report to go to */
export function Reports({ studio, detail }) {
  const { i18n } = usePage();
  const { book, problem, readPage, readOne } = useReports(studio);
  const { reports, cursor, isLoaded, hidden } = /** @type {Book} */ (book);
  const isThere = reports.some(({ reportId }) => reportId === detail);
  useEffect(() => {
    if (detail && isLoaded && !isThere) void readOne(detail);
  }, [detail, isLoaded]);
  return html`<section class="reports" aria-labelledby="reports-title">
    <h2 id="reports-title" tabindex="-1">${i18n.t('report.title')}</h2>
    ${isLoaded && reports.length === 0 && html`<p class="empty-note" data-testid="no-reports">${i18n.t('report.none')}</p>`}
    <div role="status">
      ${detail && hidden === detail && html`<${OthersReport} />`}
    </div>
    <ul class="report-list">
      ${reports.map(
        (report) => html`<${ReportCard}
          key=${report.reportId} report=${report} isTarget=${report.reportId === detail} onRefresh=${() => readOne(report.reportId)}
        />`,
      )}
    </ul>
    ${cursor &&
    html`<p class="more">
      <button type="button" data-testid="more-reports" onClick=${() => readPage(cursor)}>${i18n.t('report.more')}</button>
    </p>`}
    <div role="alert">${problem && html`<p class="problem" data-testid="reports-problem">${i18n.problem(problem)}</p>`}</div>
  </section>`;
}

/** A sighting may name a report that others' sightings have made. */
function OthersReport() {
  const { i18n } = usePage();
  const note = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    note.current?.focus({ preventScroll: true });
    note.current?.scrollIntoView({ block: 'center' });
  }, []);
  return html`<p class="empty-note" tabindex="-1" ref=${note} data-testid="others-report">${i18n.t('report.others')}</p>`;
}

/** @param {{report: Report, isTarget: boolean, onRefresh: () => Promise<void>}} props */
function ReportCard({ report, isTarget, onRefresh }) {
  const { i18n } = usePage();
  const { reportId, plateString, latitude, longitude, reportBool, similarity } = report;
  useEffect(() => {
    if (isTarget) goToReport(reportId);
  }, [isTarget]);
  return html`<li class="report" data-testid="report" data-report-id=${reportId} data-confirmed=${String(reportBool)}>
    <article aria-labelledby=${`title-${reportId}`}>
      <div class="caption">
        <h3 class="plate" id=${`title-${reportId}`} tabindex="-1">${plateString}</h3>
        <span class="chip" data-status=${reportBool ? 'completed' : 'pending'} data-testid="report-verdict">
          ${verdictOf(i18n, report)}
        </span>
      </div>
      <${Crops} report=${report} onRefresh=${onRefresh} />
      <p class="facts"><${Place} latitude=${latitude} longitude=${longitude} /></p>
      ${similarity !== undefined &&
      html`<p class="facts" data-testid="similarity">${i18n.t('report.similarity', { percent: i18n.percent(similarity) })}</p>`}
    </article>
  </li>`;
}

/** The two sightings side by side; another person's is not shown. */
function Crops(/** @type {{report: Report, onRefresh: () => Promise<void>}} */ { report, onRefresh }) {
  const { i18n } = usePage();
  const { firstCroppedUrl, secondCroppedUrl, firstCaptureTime, lastCaptureTime } = report;
  /** @param {'first' | 'second'} which @param {string | undefined} src @param {string} time */
  const crop = (which, src, time) => html`<figure>
    ${src
      ? html`<${Picture}
          testId=${`${which}-crop`} src=${src} alt=${i18n.t(`report.${which}.picture`, { plate: report.plateString })}
          onRefresh=${onRefresh}
        />`
      : html`<span class="lost">${i18n.t('report.hidden')}</span>`}
    <figcaption>${i18n.t(`report.${which}`)} <span data-testid=${`${which}-time`}>${i18n.localMoment(time)}</span></figcaption>
  </figure>`;
  return html`<div class="crops">${crop('first', firstCroppedUrl, firstCaptureTime)} ${crop('second', secondCroppedUrl, lastCaptureTime)}</div>`;
}
