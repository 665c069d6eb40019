/** What may be done with a job: cancel it, have it made once more, download its picture, delete it. */

import { html, useEffect, useRef, useState } from '../vendor/preact-htm.js';
import { asProblem, usePage, useProblem } from '../page.js';
import { goOnAt } from './focus.js';

/** @typedef {import('../store.js').Job} Job */

/** What the same input can only fail of again; its card says what else may be done. */
const FAILS_AGAIN = ['missing_metadata'];
const EXTENSION = /\.(?:png|jpe?g|webp)$/;

/** @param {Job} job */
function fileName({ jobId, style, pipeline = 'picture', outputImageUrl = '' }) {
  const [extension] = new URL(outputImageUrl).pathname.match(EXTENSION) ?? ['.png'];
  // A style may be in the person's own words.
  const name = style && /^\w+$/.test(style) ? style : pipeline;
  return `darkroom-${name}-${jobId.slice(-8)}${extension}`;
}

/** @param {Job} job */
function mayBeRetried({ status, failure }) {
  return status === 'canceled' || (status === 'failed' && !FAILS_AGAIN.includes(failure?.code ?? ''));
}

/** One thing after the other, and what went wrong with the last. */
function useActions() {
  const page = usePage();
  const [problem, setProblem] = useProblem();
  const isBusy = useRef(false);
  /** @param {() => Promise<unknown>} action @param {string} [code] what to call its failure, whatever it was */
  const act = async (action, code) => {
    // Not `disabled` meanwhile: that would take the focus away.
    if (isBusy.current) return;
    isBusy.current = true;
    setProblem(null);
    try {
      await action();
    } catch (error) {
      setProblem(asProblem(page, code ? { code } : error));
    } finally {
      isBusy.current = false;
    }
  };
  return { problem, act };
}

/** @param {{job: Job, studio: import('../studio.js').Studio, name: string, titleId: string}} props */
export function JobActions({ job, studio, name, titleId }) {
  const { i18n, announcer, view } = usePage();
  const { problem, act } = useActions();
  const [isAsking, setIsAsking] = useState(false);
  const hasActed = useRef(false);
  useEffect(() => {
    if (hasActed.current) goOnAt(titleId);
  }, [job.status]);
  /** @param {string} action @param {() => unknown} onClick */
  const button = (action, onClick) => html`<button
    type="button" key=${action} data-testid=${action} aria-label=${i18n.of(view, `${action}.label`, { name })} onClick=${onClick}
  >
    ${i18n.of(view, action)}
  </button>`;
  const cancel = async () => {
    hasActed.current = true;
    const { outcome, givenBack } = await studio.cancel(job.jobId);
    const status = i18n.t('announce.job', { name, status: i18n.t('status.canceled') });
    const count = i18n.t(givenBack ? 'failure.notCounted' : 'failure.counted');
    announcer.say(outcome === 'too_late' ? i18n.t('cancel.tooLate') : `${status} ${count}`);
  };
  const remove = async () => {
    await studio.delete(job.jobId);
    announcer.say(i18n.t('delete.done', { name }));
    requestAnimationFrame(() => goOnAt('gallery-title'));
  };
  return html`<div class="actions">
    ${job.outputImageUrl && button('download', () => act(() => studio.download(job, fileName(job)), 'download'))}
    ${!job.terminal && button('cancel', () => act(cancel))}
    ${mayBeRetried(job) && button('retry', () => act(() => studio.retry(job)))}
    ${job.terminal && button('delete', () => setIsAsking(true))}
    ${isAsking && html`<${DeleteDialog} job=${job} name=${name} onDelete=${() => act(remove)} onClose=${() => setIsAsking(false)} />`}
    ${problem && html`<span class="problem" role="alert" data-testid="job-problem">${problem.text}</span>`}
  </div>`;
}

/**
 * Asks once. The browser keeps the focus inside, closes it on Escape, and gives the focus back.
 * @param {{job: Job, name: string, onDelete: () => void, onClose: () => void}} props
 */
function DeleteDialog({ job, name, onDelete, onClose }) {
  const { i18n, view } = usePage();
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => dialog.current?.showModal(), []);
  const close = () => dialog.current?.close();
  const confirm = () => {
    close();
    onDelete();
  };
  const questionId = `delete-${job.jobId}`;
  return html`<dialog class="question" ref=${dialog} data-testid="delete-dialog" aria-labelledby=${questionId} onClose=${onClose}>
    <p id=${questionId}>${i18n.of(view, 'delete.question', { name, when: i18n.moment(job.createdAt) })}</p>
    <div class="actions">
      <button type="button" data-testid="delete-keep" onClick=${close}>${i18n.t('delete.keep')}</button>
      <button type="button" class="primary" data-testid="delete-confirm" onClick=${confirm}>${i18n.t('delete')}</button>
    </div>
  </dialog>`;
}
