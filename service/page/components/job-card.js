/** One job as a print on the line: what it is, how far it is, and what has come out of it. */

import { html } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { Chip, Duration } from './card-parts.js';
import { Compare, Picture } from './compare.js';
import { JobActions } from './job-actions.js';
import { Development } from './progress.js';

/** @typedef {import('../store.js').Job} Job */
/** @typedef {import('../store.js').Progress} Progress */
/** @typedef {import('../page.js').CardProps} CardProps */

/**
 * @param {{job: Job, progress?: Progress, preview?: string, cancellation?: import('../store.js').Cancellation,
 *   clockOffset: number, mode: string, studio: import('../studio.js').Studio}} props
 */
export function JobCard({ job, progress, preview, cancellation, clockOffset, mode, studio }) {
  const page = usePage();
  const { i18n, view } = page;
  const name = view.title(page, job);
  const titleId = `title-${job.jobId}`;
  /** @type {CardProps} */
  const shared = { view, job, name, mode, studio, preview, progress };
  return html`<li class="print" data-testid="job" data-job-id=${job.jobId} data-status=${job.status}>
    <article aria-labelledby=${titleId}>
      <${Sheet} ...${shared} />
      <div class="caption">
        <h3 id=${titleId} tabindex="-1">${name}</h3>
        <${Chip} status=${job.status} />
      </div>
      <p class="facts">
        <time datetime=${job.createdAt}>${i18n.moment(job.createdAt)}</time>
        <${Duration} job=${job} clockOffset=${clockOffset} />
      </p>
      ${!job.terminal && html`<${Development} job=${job} name=${name} progress=${progress} studio=${studio} />`}
      ${job.prompt && html`<p class="wish">${job.prompt}</p>`}
      ${job.status === 'failed' && html`<${Failure} job=${job} />`}
      ${view.Notes && html`<${view.Notes} ...${shared} />`}
      ${(cancellation || job.status === 'canceled') && html`<${Cancellation} job=${job} cancellation=${cancellation} />`}
      <${JobActions} job=${job} studio=${studio} name=${name} titleId=${titleId} preview=${preview} />
    </article>
  </li>`;
}

/** What has come out, else what went in, in its bath. @param {CardProps} props */
function Sheet(props) {
  const { view, job } = props;
  if (job.status === 'completed' && view.Sheet) return html`<${view.Sheet} ...${props} />`;
  return job.outputImageUrl ? html`<${Compare} ...${props} />` : html`<${Tray} ...${props} />`;
}

/** The sheet in its bath: the photo comes up as the work goes on. @param {CardProps} props */
function Tray({ job, progress, preview, studio }) {
  const { i18n } = usePage();
  const developed = job.terminal ? 1 : 0.15 + 0.85 * (progress?.fraction ?? 0);
  const source = preview ?? job.inputImageSignedUrl;
  if (job.terminal && !source) return null;
  const refresh = () => studio.refreshLinks(job.jobId);
  return html`<div class="sheet tray" data-terminal=${job.terminal} style=${{ '--developed': String(developed) }}>
    ${source && html`<${Picture} testId="original-image" src=${source} alt=${i18n.t('picture.original')} onRefresh=${refresh} />`}
  </div>`;
}

/** @param {{job: Job}} props */
function Failure({ job }) {
  const { i18n, view } = usePage();
  const code = job.failure?.code ?? '';
  return html`<div class="failure" data-testid="job-error" data-code=${code}>
    <p>${i18n.of(view, `failure.${code}`, {}, job.error ?? i18n.t('failure.unknown'))}</p>
    <p>${i18n.t(job.charged ? 'failure.counted' : 'failure.notCounted')}</p>
  </div>`;
}

/** What canceling came to; that it came too late is known where this page asked for it. */
function Cancellation(/** @type {{job: Job, cancellation?: import('../store.js').Cancellation}} */ { job, cancellation }) {
  const { i18n } = usePage();
  if (!job.terminal) return null;
  const words = job.status !== 'canceled' ? 'cancel.tooLate' : job.charged ? 'failure.counted' : 'failure.notCounted';
  return html`<p class="facts" data-testid="cancellation" data-given-back=${String(!job.charged)}>${i18n.t(words)}</p>`;
}
