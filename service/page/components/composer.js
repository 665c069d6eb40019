/** What the forms that start jobs have in common: title, alarm, button, quota, and the way to send. */

import { html, useEffect, useRef, useState } from '../vendor/preact-htm.js';
import { asProblem, useDraft, usePage, useProblem } from '../page.js';
import { isQuotaUsedUp, sendingOf } from '../store.js';
import { isHeldUp } from '../submissions.js';
import { LEAST_SIDE, MOST_PIXELS, MOST_SIDE, photoProblem, pictureProblem } from '../upload.js';
import { goToField } from './focus.js';

/** @typedef {import('../store.js').State} State */
/** @typedef {import('../studio.js').Photo} Photo */
/** @typedef {import('../page.js').Problem} Problem */
/** @typedef {ReturnType<typeof useForm>} Form */

const PROBLEM_ID = 'composer-problem';
/** What lies under the button, with half a line to spare, is not in sight. */
const MORE_MARGIN = '0px 0px -80px';

/** What marks the field that carries this test hook while it is at fault. @param {Problem | null} problem @param {string} testId */
export function faultOf(problem, testId) {
  return problem?.at === testId ? { 'aria-invalid': 'true', 'aria-errormessage': PROBLEM_ID } : {};
}

/** @param {State} state */
export function useForm(state) {
  const { i18n, view, announcer } = usePage();
  const element = useRef(/** @type {HTMLFormElement | null} */ (null));
  const [problem, setProblem] = useProblem((first) => useDraft('problem', first));
  /** Whether the photo that is being looked at was taken; nothing is sent meanwhile. */
  const looking = useRef(/** @type {Promise<boolean> | null} */ (null));
  /** Say what is wrong, and go there. @param {Problem & {at: string}} said */
  const show = (said) => {
    setProblem(said);
    goToField(element.current?.querySelector(`[data-testid=${said.at}]`));
  };
  /** @param {string} code @param {string} testId of the field @param {Record<string, string>} [values] */
  const refuse = (code, testId, values) => show({ code, values, at: testId });
  /** What is being mended is no longer wrong. @param {string} testId */
  const touch = (testId) => problem?.at === testId && setProblem(null);
  /** @param {() => Promise<void>} work */
  const send = async (work) => {
    // Spare the person an upload that is sure to be refused.
    if (isQuotaUsedUp(state)) return setProblem({ code: 'quota_exceeded' });
    setProblem(null);
    try {
      await work();
    } catch (error) {
      const { at, ...said } = asProblem(error);
      if (at && element.current) show({ ...said, at });
      else setProblem(said);
      // The person has gone to another view meanwhile.
      if (!element.current) announcer.alert(`${i18n.of(view, 'name')}: ${i18n.problem(said)}`);
    }
  };
  /** What was sent is no longer at fault, from wherever it was sent. */
  const settle = () => setProblem(null);
  return { element, looking, problem, setProblem, settle, refuse, touch, send, sending: sendingOf(state, view.pipeline) };
}

/**
 * The photo in hand, and the way to put another in its place.
 * @param {Form} form
 */
export function usePhoto({ setProblem, looking }) {
  const { i18n, config, studio } = usePage();
  const [photo, setPhoto, newest] = useDraft('photo', /** @type {Photo | null} */ (null));
  useEffect(() => studio.drafts.releaseUnused(studio.store.state), [photo]);
  /** @param {File} file @param {string | null} code why it cannot be taken */
  const settle = (file, code) => {
    looking.current = null;
    if (code) return setProblem({ code, values: limitWords(i18n, config) });
    setProblem(null);
    setPhoto({ file, previewUrl: studio.drafts.preview(file), fileKey: '' });
  };
  /** @param {File} file */
  const take = (file) => {
    const code = photoProblem(file, config);
    if (code) return settle(file, code);
    /** @type {Promise<boolean>} */
    const look = pictureProblem(file).then((found) => {
      // Unless another one was chosen meanwhile.
      if (looking.current !== look) return false;
      settle(file, found);
      return !found;
    });
    looking.current = look;
  };
  /** @param {Photo | null} which one; another that has taken its place stays */
  const remove = (which) => {
    if (newest() === which) setPhoto(null);
  };
  return { photo, take, remove };
}

/** @param {import('../i18n.js').I18n} i18n @param {import('../page.js').Config} config */
function limitWords(i18n, { maxUploadBytes }) {
  const pixels = (/** @type {string} */ type) => i18n.number(MOST_PIXELS[type], { notation: 'compact', compactDisplay: 'long' });
  const sides = { least: i18n.number(LEAST_SIDE), most: i18n.number(MOST_SIDE) };
  return { limit: i18n.megabytes(maxUploadBytes), ...sides, jpeg: pixels('image/jpeg'), other: pixels('image/png') };
}

/** @param {{state: State, form: Form, onSubmit: () => unknown, children?: any}} props */
export function Composer({ state, form, onSubmit, children }) {
  const { i18n, view, studio } = usePage();
  const newest = useRef(onSubmit);
  newest.current = onSubmit;
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    if (form.looking.current && !(await form.looking.current)) return;
    // The button is not disabled meanwhile: that would take the focus away.
    if (!sendingOf(studio.store.state, view.pipeline)) void newest.current();
  };
  return html`<form class="composer" ref=${form.element} onSubmit=${submit} noValidate aria-labelledby="composer-title">
    <h2 id="composer-title" tabindex="-1">${i18n.of(view, 'composer.title')}</h2>
    ${children}
    <${More} />
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
    <div class="field">
      <label for=${testId}>${label}</label>
      <textarea
        id=${testId} data-testid=${testId} rows=${rows} aria-required=${isNeeded} aria-describedby=${countId} placeholder=${placeholder}
        value=${value} onInput=${input} ...${fault}
      ></textarea>
      <small id=${countId} data-testid=${countId} class=${limit - value.length < 100 ? 'count near' : 'count'}>
        ${i18n.t('text.count', { used: i18n.number(value.length), limit: i18n.number(limit) })}
      </small>
    </div>
    <div role="status" data-testid=${`${testId}-too-long`}>
      ${isTooLong && html`<p class="problem">${i18n.t('error.text_long', { limit: i18n.number(limit) })}</p>`}
    </div>
  </div>`;
}

/** Says that the form goes on below the button, which lies over it. The keyboard and a screen reader go there by themselves. */
function More() {
  const { i18n } = usePage();
  const end = useRef(/** @type {HTMLElement | null} */ (null));
  const [isBelow, setIsBelow] = useState(false);
  useEffect(() => {
    const observer = new IntersectionObserver(
      ([{ boundingClientRect, rootBounds }]) => setIsBelow(boundingClientRect.top > (rootBounds?.bottom ?? Infinity)),
      { rootMargin: MORE_MARGIN },
    );
    observer.observe(/** @type {HTMLElement} */ (end.current));
    return () => observer.disconnect();
  }, []);
  const go = () => end.current?.scrollIntoView({ block: 'end' });
  return html`<div class="form-end" ref=${end} aria-hidden="true">
    ${isBelow &&
    html`<button
      type="button" class="small" tabindex="-1" data-testid="more-options" onMouseDown=${(/** @type {Event} */ event) => event.preventDefault()} onClick=${go}
    >
      ${i18n.t('composer.more')}
    </button>`}
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
      ${i18n.problem(problem)} ${problem.requestId && html`<small>${i18n.t('error.request', { id: problem.requestId })}</small>`}
    </p>`}
  </div>`;
}

/** @param {{state: State, sending?: import('../store.js').Submission}} props */
function SendOff({ state, sending }) {
  const { i18n, view } = usePage();
  const { quota } = state;
  const percent = sending?.fraction === undefined ? '' : i18n.percent(sending.fraction);
  const phase = sending && (isHeldUp(sending, state) ? 'offline' : sending.phase);
  return html`<div class="send-off">
    <button class="primary" data-testid="submit" aria-disabled=${Boolean(sending)}>
      ${i18n.of(view, phase ? `submit.${phase}` : 'submit.ready', { percent })}
    </button>
    <p class="quota" data-testid="quota" data-remaining=${quota?.remainingQuota}>
      ${quota && i18n.t('quota.left', { left: i18n.number(quota.remainingQuota), limit: i18n.number(quota.dailyLimit) })}
      ${quota?.resetsAt && html`<br /><small>${i18n.t('quota.resets', { when: i18n.soon(quota.resetsAt) })}</small>`}
    </p>
  </div>`;
}
