/** What the forms that start jobs have in common: title, alarm, button, quota, and the way to send. */

import { html, useEffect, useRef } from '../vendor/preact-htm.js';
import { asProblem, useDraft, usePage, useProblem } from '../page.js';
import { isQuotaUsedUp, sendingOf } from '../store.js';
import { photoProblem } from '../upload.js';
import { goToField } from './focus.js';

/** @typedef {import('../store.js').State} State */
/** @typedef {import('../studio.js').Photo} Photo */
/** @typedef {import('../page.js').Problem} Problem */
/** @typedef {ReturnType<typeof useForm>} Form */

const PROBLEM_ID = 'composer-problem';

/** What marks the field that carries this test hook while it is at fault. @param {Problem | null} problem @param {string} testId */
export function faultOf(problem, testId) {
  return problem?.at === testId ? { 'aria-invalid': 'true', 'aria-errormessage': PROBLEM_ID } : {};
}

/** @param {State} state */
export function useForm(state) {
  const page = usePage();
  const { i18n, view, announcer } = page;
  const element = useRef(/** @type {HTMLFormElement | null} */ (null));
  const [problem, setProblem] = useProblem((first) => useDraft('problem', first));
  /** Say what is wrong, and go there. @param {Problem & {at: string}} said */
  const show = (said) => {
    setProblem(said);
    goToField(element.current?.querySelector(`[data-testid=${said.at}]`));
  };
  /** @param {string} code @param {string} testId of the field @param {Record<string, string>} [values] */
  const refuse = (code, testId, values) => show({ text: i18n.t(`error.${code}`, values), at: testId });
  /** What is being mended is no longer wrong. @param {string} testId */
  const touch = (testId) => problem?.at === testId && setProblem(null);
  /** @param {() => Promise<void>} work */
  const send = async (work) => {
    // Spare the person an upload that is sure to be refused.
    if (isQuotaUsedUp(state)) return setProblem({ text: i18n.t('error.quota_exceeded') });
    setProblem(null);
    try {
      await work();
    } catch (error) {
      const { at, ...said } = asProblem(page, error);
      if (at && element.current) show({ ...said, at });
      else setProblem(said);
      // The person has gone to another view meanwhile.
      if (!element.current) announcer.alert(`${i18n.of(view, 'name')}: ${said.text}`);
    }
  };
  /** What was sent is no longer at fault, from wherever it was sent. */
  const settle = () => setProblem(null);
  return { element, problem, setProblem, settle, refuse, touch, send, sending: sendingOf(state, view.pipeline) };
}

/**
 * The photo in hand, and the way to put another in its place.
 * @param {Form} form
 */
export function usePhoto({ setProblem }) {
  const { i18n, config, studio } = usePage();
  const [photo, setPhoto, newest] = useDraft('photo', /** @type {Photo | null} */ (null));
  useEffect(() => studio.drafts.releaseUnused(studio.store.state), [photo]);
  /** @param {File} file */
  const take = (file) => {
    const code = photoProblem(file, config);
    if (code) return setProblem({ text: i18n.t(`error.${code}`, { limit: i18n.megabytes(config.maxUploadBytes) }) });
    setProblem(null);
    setPhoto({ file, previewUrl: studio.drafts.preview(file), fileKey: '' });
  };
  /** @param {Photo | null} which one; another that has taken its place stays */
  const remove = (which) => {
    if (newest() === which) setPhoto(null);
  };
  return { photo, take, remove };
}

/** @param {{state: State, form: Form, onSubmit: () => unknown, children?: any}} props */
export function Composer({ state, form, onSubmit, children }) {
  const { i18n, view } = usePage();
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    // The button is not disabled meanwhile: that would take the focus away.
    if (!form.sending) void onSubmit();
  };
  return html`<form class="composer" ref=${form.element} onSubmit=${submit} noValidate aria-labelledby="composer-title">
    <h2 id="composer-title" tabindex="-1">${i18n.of(view, 'composer.title')}</h2>
    ${children}
    <div>
      <${ProblemNote} problem=${form.problem} />
      <${SendOff} state=${state} sending=${form.sending} />
    </div>
  </form>`;
}

/** Text with a count of its characters. What is too long stays whole, for the person to shorten. */
export function CountedText(
  /** @type {{form: Form, label: string, testId: string, value: string, limit: number, rows: number, placeholder: string,
   *   isNeeded: boolean, onInput: (words: string) => void}} */ { form, label, testId, value, limit, rows, placeholder, isNeeded, onInput },
) {
  const { i18n } = usePage();
  const countId = `${testId}-count`;
  const isTooLong = value.trim().length > limit;
  const fault = isTooLong ? { 'aria-invalid': 'true' } : faultOf(form.problem, testId);
  const input = (/** @type {any} */ event) => {
    form.touch(testId);
    onInput(event.target.value);
  };
  return html`<div class="counted">
    <label class="field">
      <span>${label}</span>
      <textarea
        data-testid=${testId} rows=${rows} aria-required=${isNeeded} aria-describedby=${countId} placeholder=${placeholder}
        value=${value} onInput=${input} ...${fault}
      ></textarea>
      <small id=${countId} data-testid=${countId} class=${limit - value.length < 100 ? 'count near' : 'count'}>
        ${i18n.t('text.count', { used: i18n.number(value.length), limit: i18n.number(limit) })}
      </small>
    </label>
    <div role="status" data-testid=${`${testId}-too-long`}>
      ${isTooLong && html`<p class="problem">${i18n.t('error.text_long', { limit: i18n.number(limit) })}</p>`}
    </div>
  </div>`;
}

/** @param {{problem: Problem | null}} props */
function ProblemNote({ problem }) {
  const { i18n } = usePage();
  const note = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => note.current?.scrollIntoView({ block: 'nearest' }), [problem]);
  // The region stays when it is empty: an alert is heard only where one was expected.
  return html`<div class="alarm" role="alert" id=${PROBLEM_ID}>
    ${problem &&
    html`<p class="problem" data-testid="error" ref=${note}>
      ${problem.text} ${problem.requestId && html`<small>${i18n.t('error.request', { id: problem.requestId })}</small>`}
    </p>`}
  </div>`;
}

/** @param {{state: State, sending?: import('../store.js').Submission}} props */
function SendOff({ state, sending }) {
  const { i18n, view } = usePage();
  const { quota } = state;
  const percent = sending?.fraction === undefined ? '' : i18n.percent(sending.fraction);
  return html`<div class="send-off">
    <button class="primary" data-testid="submit" aria-disabled=${Boolean(sending)}>
      ${i18n.of(view, sending ? `submit.${sending.phase}` : 'submit.ready', { percent })}
    </button>
    <p class="quota" data-testid="quota" data-remaining=${quota?.remainingQuota}>
      ${quota && i18n.t('quota.left', { left: i18n.number(quota.remainingQuota), limit: i18n.number(quota.dailyLimit) })}
      ${quota?.resetsAt && html`<br /><small>${i18n.t('quota.resets', { when: i18n.soon(quota.resetsAt) })}</small>`}
    </p>
  </div>`;
}
