/** What is on its way, before it is a job. */

import { html, useEffect, useRef } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { isConnected, sendingOf } from '../store.js';
import { NETWORK_FAILURES, isHeldUp } from '../submissions.js';
import { Bar, Chip } from './card-parts.js';
import { goOnAt } from './focus.js';

/** @typedef {import('../store.js').Submission} Submission */
/** @typedef {import('../studio.js').Studio} Studio */
/** @typedef {{submission: Submission, studio: Studio, titleId: string}} PartProps */

/** What a card tells, where it is more than how far it is. @type {Record<string, import('../page.js').Component>} */
const PARTS = { unsent: Unsent, late: Late };

/** @param {{submission: Submission, studio: Studio}} props */
export function SubmissionCard({ submission, studio }) {
  const page = usePage();
  const { id, previewUrl, phase, asked, pipeline } = submission;
  const card = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => bringIntoView(card.current), []);
  useFocusOnceGone(card);
  const titleId = `title-upload-${id}`;
  const job = { ...asked, pipeline, jobId: '', status: 'uploading', version: 0, terminal: false, createdAt: '' };
  const Part = PARTS[phase] ?? OnItsWay;
  const status = isHeldUp(submission, studio.store.state) ? 'unsent' : phase;
  return html`<li class="print" ref=${card} data-testid="upload" data-status=${phase}>
    <article aria-labelledby=${titleId}>
      <div class="sheet tray">${previewUrl && html`<img src=${previewUrl} alt="" />`}</div>
      <div class="caption">
        <h3 id=${titleId} tabindex="-1">${page.view.title(page, job)}</h3>
        <${Chip} status=${status} />
      </div>
      <${Part} submission=${submission} studio=${studio} titleId=${titleId} />
    </article>
  </li>`;
}

/** On a phone the line is far below the button that was just pressed: go there, with its title, whole. @param {HTMLElement | null} card */
function bringIntoView(card) {
  const top = card?.getBoundingClientRect().top ?? 0;
  if (top < 0 || top > innerHeight / 2) card?.closest('section')?.scrollIntoView();
}

/** When the card that had the focus is gone, the gallery has it. @param {{current: HTMLElement | null}} card */
function useFocusOnceGone(card) {
  useEffect(
    () => () => {
      const hadFocus = card.current?.contains(document.activeElement);
      if (hadFocus) requestAnimationFrame(() => goOnAt('gallery-title'));
    },
    [],
  );
}

/** @param {PartProps} props */
function OnItsWay({ submission, studio }) {
  const { i18n } = usePage();
  const { id, phase, fraction } = submission;
  const isStill = isHeldUp(submission, studio.store.state);
  const words = isStill ? i18n.t('upload.offline') : fraction === undefined ? i18n.t(`status.${phase}`) : i18n.percent(fraction);
  return html`<${Bar} fraction=${isStill ? undefined : fraction} label=${i18n.t('upload.label')} words=${words} />
    ${phase === 'uploading' &&
    html`<p class="actions">
      <button type="button" data-testid="cancel-upload" onClick=${() => studio.submissions.cancel(id)}>${i18n.t('upload.cancel')}</button>
    </p>`}`;
}

/** It is kept until it is sent or dismissed, and says why it waits. @param {PartProps} props */
function Unsent({ submission, studio, titleId }) {
  const { id, error } = submission;
  const { i18n } = usePage();
  // The error itself may be over when it is read.
  const words = NETWORK_FAILURES.includes(error?.code) ? i18n.t('upload.unsent') : i18n.problem(error);
  return html`<div class="failure" role="status" data-testid="upload-unsent">
      <p>${words}</p>
      ${isConnected(studio.store.state) && html`<p>${i18n.t('upload.again.now')}</p>`}
    </div>
    <p class="actions">
      <${SendAgain} submission=${submission} studio=${studio} titleId=${titleId} className="" />
      <button type="button" class="quiet" data-testid="upload-dismiss" onClick=${() => studio.submissions.dismiss(id)}>
        ${i18n.t('upload.discard')}
      </button>
    </p>`;
}

/** All is well, as far as is known: its job begins by itself. @param {PartProps} props */
function Late({ submission, studio, titleId }) {
  const { i18n } = usePage();
  return html`<div class="failure" role="status" data-testid="upload-late"><p>${i18n.t('upload.late')}</p></div>
    <p class="actions">
      <button type="button" data-testid="upload-dismiss" onClick=${() => studio.submissions.dismiss(submission.id)}>
        ${i18n.t('upload.dismiss')}
      </button>
      <${SendAgain} submission=${submission} studio=${studio} titleId=${titleId} className="quiet" />
    </p>`;
}

/** What goes wrong is told by the card. @param {PartProps & {className: string}} props */
function SendAgain({ submission: { id, pipeline }, studio, titleId, className }) {
  const { i18n } = usePage();
  const isOtherSending = Boolean(sendingOf(studio.store.state, pipeline));
  const send = () => {
    if (isOtherSending) return;
    // The button goes; its card stays.
    document.getElementById(titleId)?.focus({ preventScroll: true });
    studio.resend(id).catch(() => {});
  };
  return html`<button type="button" class=${className} data-testid="upload-again" aria-disabled=${isOtherSending} onClick=${send}>
    ${i18n.t('upload.again')}
  </button>`;
}
