/** What the forms that start jobs have in common: title, alarm, button, quota, and the way to send. */

import { html, useEffect, useRef } from '../vendor/preact-htm.js';
import { asProblem, useDraft, usePage, useProblem } from '../page.js';
import { isQuotaUsedUp, sendingOf } from '../store.js';
import { photoProblem } from '../upload.js';

/** @typedef {import('../store.js').State} State */
/** @typedef {import('../studio.js').Photo} Photo */
/** @typedef {import('../page.js').Problem} Problem */
/** @typedef {ReturnType<typeof useForm>} Form */

/** @param {State} state */
export function useForm(state) {
  const page = usePage();
  const { i18n, view, announcer } = page;
  const element = useRef(/** @type {HTMLFormElement | null} */ (null));
  const [problem, setProblem] = useProblem((first) => useDraft('problem', first));
  /** Say what is missing, and go there. @param {string} code @param {string} testId */
  const refuse = (code, testId) => {
    setProblem({ text: i18n.problem({ code, message: '' }) });
    /** @type {HTMLElement | null | undefined} */ (element.current?.querySelector(`[data-testid=${testId}]`))?.focus();
  };
  /** @param {() => Promise<void>} work */
  const send = async (work) => {
    // Spare the person an upload that is sure to be refused.
    if (isQuotaUsedUp(state)) return setProblem({ text: i18n.t('error.quota_exceeded') });
    setProblem(null);
    try {
      await work();
    } catch (error) {
      const said = asProblem(page, error);
      setProblem(said);
      // The person has gone to another view meanwhile.
      if (!element.current) announcer.alert(`${i18n.of(view, 'name')}: ${said.text}`);
    }
  };
  return { element, problem, setProblem, refuse, send, sending: sendingOf(state, view.pipeline) };
}

/**
 * The photo in hand, and the way to put another in its place.
 * @param {Form} form
 */
export function usePhoto({ setProblem }) {
  const { i18n, config, studio } = usePage();
  const [photo, setPhoto] = useDraft('photo', /** @type {Photo | null} */ (null));
  const newest = useRef(photo);
  newest.current = photo;
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
    if (newest.current === which) setPhoto(null);
  };
  return { photo, take, remove };
}

/** @param {{state: State, form: Form, onSubmit: () => unknown, children?: any}} props */
export function Composer({ state, form, onSubmit, children }) {
  const { i18n, view } = usePage();
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    void onSubmit();
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

/** Text with a count of its characters. */
export function CountedText(
  /** @type {{label: string, testId: string, value: string, limit: number, rows: number, placeholder: string, isNeeded: boolean,
   *   onInput: (words: string) => void}} */ { label, testId, value, limit, rows, placeholder, isNeeded, onInput },
) {
  const { i18n } = usePage();
  const countId = `${testId}-count`;
  return html`<label class="field">
    <span>${label}</span>
    <textarea
      data-testid=${testId} rows=${rows} maxlength=${limit} aria-required=${isNeeded} aria-describedby=${countId}
      placeholder=${placeholder} value=${value} onInput=${(/** @type {any} */ event) => onInput(event.target.value)}
    ></textarea>
    <small id=${countId} data-testid=${countId} class=${limit - value.length < 100 ? 'count near' : 'count'}>
      ${i18n.t('text.count', { used: i18n.number(value.length), limit: i18n.number(limit) })}
    </small>
  </label>`;
}

/** @param {{problem: Problem | null}} props */
function ProblemNote({ problem }) {
  const { i18n } = usePage();
  const note = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => note.current?.scrollIntoView({ block: 'nearest' }), [problem]);
  // The region stays when it is empty: an alert is heard only where one was expected.
  return html`<div class="alarm" role="alert">
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
    <button class="primary" data-testid="submit" disabled=${Boolean(sending)}>
      ${i18n.of(view, sending ? `submit.${sending.phase}` : 'submit.ready', { percent })}
    </button>
    <p class="quota" data-testid="quota" data-remaining=${quota?.remainingQuota}>
      ${quota && i18n.t('quota.left', { left: i18n.number(quota.remainingQuota), limit: i18n.number(quota.dailyLimit) })}
      ${quota?.resetsAt && html`<br /><small>${i18n.t('quota.resets', { when: i18n.soon(quota.resetsAt) })}</small>`}
    </p>
  </div>`;
}
