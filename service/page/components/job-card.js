/** One job as a print on the line: what it is, how far it is, and the picture when there is one. */

import { html, useEffect, useRef, useState } from '../vendor/preact-htm.js';
import { styleName, usePage } from '../page.js';
import { Compare, Picture } from './compare.js';
import { JobActions } from './job-actions.js';

/** @typedef {import('../store.js').Job} Job */
/** @typedef {import('../store.js').Progress} Progress */

/** Failures whose charge was kept; every other one was given back or never taken. */
const CHARGED_FAILURES = ['content_rejected'];

/**
 * @param {{job: Job, progress?: Progress, preview?: string, cancellation?: import('../store.js').Cancellation,
 *   clockOffset: number, view: string, studio: import('../studio.js').Studio}} props
 */
export function JobCard({ job, progress, preview, cancellation, clockOffset, view, studio }) {
  const page = usePage();
  const { i18n } = page;
  const name = styleName(page, job.style);
  const titleId = `title-${job.jobId}`;
  return html`<li class="print" data-testid="job" data-job-id=${job.jobId} data-status=${job.status}>
    <article aria-labelledby=${titleId}>
      ${job.outputImageUrl
        ? html`<${Compare} job=${job} preview=${preview} view=${view} studio=${studio} name=${name} />`
        : html`<${Tray} job=${job} progress=${progress} preview=${preview} studio=${studio} />`}
      <div class="caption">
        <h3 id=${titleId} tabindex="-1">${name}</h3>
        <${Chip} status=${job.status} />
      </div>
      <p class="facts">
        <time datetime=${job.createdAt}>${i18n.moment(job.createdAt)}</time>
        <${Duration} job=${job} clockOffset=${clockOffset} />
      </p>
      ${!job.terminal && html`<${Development} job=${job} progress=${progress} />`}
      ${job.prompt && html`<p class="wish">${job.prompt}</p>`}
      ${job.status === 'failed' && html`<${Failure} job=${job} />`}
      ${cancellation && html`<${Cancellation} job=${job} cancellation=${cancellation} />`}
      <${JobActions} job=${job} studio=${studio} name=${name} titleId=${titleId} />
    </article>
  </li>`;
}

/**
 * The submission under way, before it has a job.
 * @param {{submission: import('../store.js').Submission, studio: import('../studio.js').Studio}} props
 */
export function UploadCard({ submission, studio }) {
  const page = usePage();
  const { i18n } = page;
  const { fraction, previewUrl, phase, style } = submission;
  const card = useRef(/** @type {HTMLElement | null} */ (null));
  // On a phone the line is far below the button that was just pressed.
  useEffect(() => card.current?.scrollIntoView({ block: 'nearest' }), []);
  return html`<li class="print" ref=${card} data-testid="upload" data-status=${phase}>
    <article aria-labelledby="title-upload">
      <div class="sheet tray"><img src=${previewUrl} alt="" /></div>
      <div class="caption">
        <h3 id="title-upload">${styleName(page, style)}</h3>
        <${Chip} status="uploading" />
      </div>
      <${Bar} fraction=${fraction} label=${i18n.t('upload.label')} words=${i18n.percent(fraction)} />
      ${phase === 'uploading' &&
      html`<p class="actions">
        <button type="button" data-testid="cancel-upload" onClick=${() => studio.cancelUpload()}>${i18n.t('upload.cancel')}</button>
      </p>`}
    </article>
  </li>`;
}

/** @param {{status: string}} props */
function Chip({ status }) {
  const { i18n } = usePage();
  return html`<span class="chip" data-testid="job-status" data-status=${status}>${i18n.firstOf([`status.${status}`], status)}</span>`;
}

/** The sheet in its bath: the photo comes up as the work goes on. */
function Tray(/** @type {{job: Job, progress?: Progress, preview?: string, studio: any}} */ { job, progress, preview, studio }) {
  const { i18n } = usePage();
  const developed = job.terminal ? 1 : 0.15 + 0.85 * (progress?.fraction ?? 0);
  const source = preview ?? job.inputImageSignedUrl;
  return html`<div class="sheet tray" data-terminal=${job.terminal} style=${{ '--developed': String(developed) }}>
    ${source && html`<${Picture} testId="original-image" src=${source} alt=${i18n.t('picture.original')} jobId=${job.jobId} studio=${studio} />`}
  </div>`;
}

/** @param {{job: Job, progress?: Progress}} props */
function Development({ job, progress }) {
  const { i18n } = usePage();
  const { attempt = 1 } = job;
  const stage = progress ? i18n.firstOf([`stage.${progress.stage}`], progress.message ?? progress.stage) : i18n.t(`stage.${job.status}`);
  // One that waits has no part done, and its place in the queue says more.
  const isQueued = job.status === 'queued';
  const place = isQueued ? (progress?.queue ?? job.queue) : undefined;
  const fraction = isQueued ? undefined : progress?.fraction;
  const words = fraction === undefined ? stage : `${stage} · ${i18n.percent(fraction)}`;
  return html`<${Bar} fraction=${fraction} label=${i18n.t('progress.label')} words=${words} />
    ${place && html`<p class="facts" data-testid="queue-place">${placeWords(i18n, place)}</p>`}
    ${attempt > 1 && html`<p class="facts">${i18n.t('job.attempt', { attempt })}</p>`}`;
}

/** @param {import('../i18n.js').I18n} i18n @param {import('../store.js').QueuePlace} place */
function placeWords(i18n, { ahead, etaSeconds }) {
  const words = ahead === 0 ? i18n.t('queue.next') : i18n.t('queue.ahead', { ahead: i18n.number(ahead) });
  if (etaSeconds === undefined) return words;
  return `${words} · ${i18n.t('queue.eta', { time: i18n.duration(etaSeconds * 1_000) })}`;
}

/** @param {{fraction?: number, label: string, words: string}} props */
function Bar({ fraction, label, words }) {
  return html`<div class="bar" data-testid="progress">
    <progress key=${fraction === undefined} max="1" value=${fraction} aria-label=${label}></progress>
    <span>${words}</span>
  </div>`;
}

/** How long it took from its creation to its end, or has been taking, by the service's clock. @param {{job: Job, clockOffset: number}} props */
function Duration({ job, clockOffset }) {
  const { i18n } = usePage();
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (job.terminal) return undefined;
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [job.terminal]);
  if (job.terminal && !job.updatedAt) return null;
  const until = job.terminal ? Date.parse(job.updatedAt ?? '') : now + clockOffset;
  const elapsedMs = Math.max(0, until - Date.parse(job.createdAt));
  const shownMs = job.terminal ? elapsedMs : Math.floor(elapsedMs / 1_000) * 1_000;
  return html`<span class="duration" data-testid="duration">${i18n.duration(shownMs)}</span>`;
}

/** @param {{job: Job}} props */
function Failure({ job }) {
  const { i18n } = usePage();
  const code = job.failure?.code ?? '';
  const isCharged = CHARGED_FAILURES.includes(code);
  return html`<div class="failure" data-testid="job-error" data-code=${code}>
    <p>${i18n.firstOf([`failure.${code}`], job.error ?? i18n.t('failure.unknown'))}</p>
    <p>${i18n.t(isCharged ? 'failure.counted' : 'failure.notCounted')}</p>
    <p><small>${i18n.t('job.id')} <code>${job.jobId}</code></small></p>
  </div>`;
}

/** What canceling came to, where this page asked for it. */
function Cancellation(/** @type {{job: Job, cancellation: import('../store.js').Cancellation}} */ { job, cancellation }) {
  const { i18n } = usePage();
  const { outcome, givenBack } = cancellation;
  const words = outcome === 'too_late' ? 'cancel.tooLate' : givenBack ? 'failure.notCounted' : 'failure.counted';
  if (!job.terminal) return null;
  return html`<p class="facts" data-testid="cancellation" data-given-back=${String(givenBack)}>${i18n.t(words)}</p>`;
}
