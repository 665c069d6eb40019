/** What is on its way, before it is a job. */

import { html, useEffect, useRef } from '../vendor/preact-htm.js';
import { asProblem, usePage, useProblem } from '../page.js';
import { Bar, Chip } from './card-parts.js';

/** @typedef {import('../store.js').Submission} Submission */
/** @typedef {import('../studio.js').Studio} Studio */

/** @param {{submission: Submission, studio: Studio}} props */
export function SubmissionCard({ submission, studio }) {
  const page = usePage();
  const { id, previewUrl, phase, asked, pipeline } = submission;
  const card = useRef(/** @type {HTMLElement | null} */ (null));
  // On a phone the line is far below the button that was just pressed.
  useEffect(() => card.current?.scrollIntoView({ block: 'nearest' }), []);
  const titleId = `title-upload-${id}`;
  const job = { ...asked, pipeline, jobId: '', status: 'uploading', version: 0, terminal: false, createdAt: '' };
  return html`<li class="print" ref=${card} data-testid="upload" data-status=${phase}>
    <article aria-labelledby=${titleId}>
      <div class="sheet tray">${previewUrl && html`<img src=${previewUrl} alt="" />`}</div>
      <div class="caption">
        <h3 id=${titleId} tabindex="-1">${page.view.title(page, job)}</h3>
        <${Chip} status=${phase === 'waiting' || phase === 'late' ? phase : 'uploading'} />
      </div>
      <${phase === 'late' ? Late : OnItsWay} submission=${submission} studio=${studio} />
    </article>
  </li>`;
}

/** @param {{submission: Submission, studio: Studio}} props */
function OnItsWay({ submission: { id, phase, fraction }, studio }) {
  const { i18n } = usePage();
  const words = fraction === undefined ? i18n.t(`status.${phase}`) : i18n.percent(fraction);
  return html`<${Bar} fraction=${fraction} label=${i18n.t('upload.label')} words=${words} />
    ${phase === 'uploading' &&
    html`<p class="actions">
      <button type="button" data-testid="cancel-upload" onClick=${() => studio.submissions.cancel(id)}>${i18n.t('upload.cancel')}</button>
    </p>`}`;
}

/** @param {{submission: Submission, studio: Studio}} props */
function Late({ submission: { id, again }, studio }) {
  const page = usePage();
  const { i18n } = page;
  const [problem, setProblem] = useProblem();
  const isBusy = useRef(false);
  const sendAgain = async () => {
    if (isBusy.current || !again) return;
    isBusy.current = true;
    setProblem(null);
    try {
      await again();
      studio.submissions.dismiss(id);
    } catch (error) {
      setProblem(asProblem(page, error));
    }
    isBusy.current = false;
  };
  return html`<div class="failure" role="alert" data-testid="upload-late"><p>${i18n.t('upload.late')}</p></div>
    <p class="actions">
      ${again && html`<button type="button" data-testid="upload-again" onClick=${sendAgain}>${i18n.t('retry')}</button>`}
      <button type="button" data-testid="upload-dismiss" onClick=${() => studio.submissions.dismiss(id)}>${i18n.t('upload.dismiss')}</button>
    </p>
    <div role="alert">${problem && html`<p class="problem">${problem.text}</p>`}</div>`;
}
