/** What may be done with a job: cancel it, have it made once more, use its picture, delete it. */

import { html, useEffect, useRef } from '../vendor/preact-htm.js';
import { asProblem, usePage, useProblem } from '../page.js';
import { goOnAt } from './focus.js';
import { PictureButtons, PictureDetails } from './picture-actions.js';

/** @typedef {import('../store.js').Job} Job */

/** What the same input can only fail of again; its card says what else may be done. */
const FAILS_AGAIN = ['missing_metadata', 'invalid_image'];

/** @param {Job} job */
function mayBeRetried({ status, failure }) {
  return status === 'canceled' || (status === 'failed' && !FAILS_AGAIN.includes(failure?.code ?? ''));
}

/** One thing after the other, and what went wrong with the last. */
function useActions() {
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
      setProblem(asProblem(code ? { code } : error));
    } finally {
      isBusy.current = false;
    }
  };
  return { problem, act };
}

/** @param {{job: Job, studio: import('../studio.js').Studio, name: string, titleId: string, preview?: string}} props */
export function JobActions({ job, studio, name, titleId, preview }) {
  const { i18n, announcer, view } = usePage();
  const { problem, act } = useActions();
  const hasActed = useRef(false);
  useEffect(() => {
    if (hasActed.current) goOnAt(titleId);
  }, [job.status]);
  /** @param {string} action @param {() => unknown} onClick @param {string} [className] */
  const button = (action, onClick, className) => html`<button
    type="button" key=${action} class=${className} data-testid=${action} aria-label=${i18n.of(view, `${action}.label`, { name })} onClick=${onClick}
  >
    ${i18n.of(view, action)}
  </button>`;
  const cancel = async () => {
    hasActed.current = true;
    const { outcome, givenBack } = await studio.cancel(job.jobId);
    const status = i18n.t('announce.job', { name, status: i18n.t('status.canceled') });
    const count = i18n.t(givenBack ? 'failure.notCounted' : 'failure.counted');
    announcer.say(outcome === 'too_late' ? i18n.t('cancel.tooLate') : `${status} ${count}`, job.jobId);
  };
  const retry = async () => {
    await studio.retry(job);
    studio.toasts.show({ words: i18n.t('retry.done', { name }) });
  };
  const remove = useRemoval(job, studio, name, titleId);
  return html`<div class="actions">
      ${job.outputImageUrl && html`<${PictureButtons} job=${job} studio=${studio} name=${name} preview=${preview} act=${act} button=${button} />`}
      ${!job.terminal && button('cancel', () => act(cancel))}
      ${mayBeRetried(job) && button('retry', () => act(retry))} ${job.terminal && button('delete', remove, 'quiet')}
      ${problem && html`<span class="problem" role="alert" data-testid="job-problem">${i18n.problem(problem)}</span>`}
    </div>
    ${job.terminal && html`<${PictureDetails} job=${job} studio=${studio} name=${name} act=${act} />`}`;
}

/**
 * Delete with a moment to change one's mind: the note that offers it ends with the deed.
 * @param {Job} job @param {import('../studio.js').Studio} studio @param {string} name @param {string} titleId
 */
function useRemoval({ jobId }, studio, name, titleId) {
  const { i18n } = usePage();
  const { toasts, removals } = studio;
  const undo = () => {
    if (removals.undo(jobId)) requestAnimationFrame(() => document.getElementById(titleId)?.focus());
  };
  const complain = (/** @type {any} */ error) => toasts.show({ words: `${i18n.t('delete.failed', { name })} ${i18n.problem(error)}` });
  return () => {
    removals.begin(jobId, complain);
    toasts.show({
      words: i18n.t('delete.done', { name }),
      action: { label: i18n.t('delete.undo'), act: undo },
      onGone: () => void removals.finish(jobId),
    });
    requestAnimationFrame(() => goOnAt('gallery-title'));
  };
}
