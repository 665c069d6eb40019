/** The left hand of the page: a photo, a style, wishes, and the button that sends them off. */

import { html, useEffect, useRef, useState } from '../vendor/preact-htm.js';
import { asProblem, usePage, useProblem } from '../page.js';
import { isQuotaUsedUp, showsPreview } from '../store.js';
import { photoProblem } from '../upload.js';
import { PhotoField } from './photo-field.js';
import { StylePicker } from './style-picker.js';

/** @typedef {import('../store.js').State} State */
/** @typedef {import('../studio.js').Photo} Photo */
/** @typedef {import('../page.js').Problem} Problem */

/**
 * Returns a function that makes a file's preview; it is released as soon as neither composer nor gallery shows it.
 * @param {State} state @param {Photo | null} photo in the composer
 */
function usePreviews(state, photo) {
  const { current: urls } = useRef(/** @type {Set<string>} */ (new Set()));
  /** @param {(url: string) => boolean} isShown */
  const releaseUnless = (isShown) => {
    for (const url of urls) {
      if (isShown(url)) continue;
      URL.revokeObjectURL(url);
      urls.delete(url);
    }
  };
  useEffect(
    () => releaseUnless((url) => url === photo?.previewUrl || showsPreview(state, url)),
    [photo, state.submission, state.previews],
  );
  useEffect(() => () => releaseUnless(() => false), []);
  return (/** @type {File} */ file) => {
    const url = URL.createObjectURL(file);
    urls.add(url);
    return url;
  };
}

/**
 * The photo in hand, and the way to put another in its place.
 * @param {State} state @param {(problem: Problem | null) => void} report
 */
function usePhoto(state, report) {
  const { i18n, config } = usePage();
  const [photo, setPhoto] = useState(/** @type {Photo | null} */ (null));
  const preview = usePreviews(state, photo);
  /** @param {File} file */
  const take = (file) => {
    const code = photoProblem(file, config);
    if (code) return report({ text: i18n.t(`error.${code}`, { limit: i18n.megabytes(config.maxUploadBytes) }) });
    report(null);
    setPhoto({ file, previewUrl: preview(file), fileKey: '' });
  };
  return { photo, take, remove: () => setPhoto(null) };
}

/** @param {{studio: import('../studio.js').Studio, state: State}} props */
export function Composer({ studio, state }) {
  const page = usePage();
  const { i18n, styles } = page;
  const [problem, setProblem] = useProblem();
  const [style, setStyle] = useState(() => (styles.find((each) => each.default) ?? styles[0]).id);
  const [prompt, setPrompt] = useState('');
  const { photo, take, remove } = usePhoto(state, setProblem);
  const form = useRef(/** @type {HTMLFormElement | null} */ (null));
  const needsPrompt = style === 'custom';

  /** @param {string} text @param {string} testId */
  const refuse = (text, testId) => {
    setProblem({ text });
    /** @type {HTMLElement | null | undefined} */ (form.current?.querySelector(`[data-testid=${testId}]`))?.focus();
  };
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    const words = prompt.trim();
    if (!photo) return refuse(i18n.t('error.photo_missing'), 'photo-input');
    if (needsPrompt && !words) return refuse(i18n.t('error.prompt_missing'), 'prompt');
    // Spare the person an upload that is sure to be refused.
    if (isQuotaUsedUp(state)) return setProblem({ text: i18n.t('error.quota_exceeded') });
    setProblem(null);
    try {
      await studio.submit(photo, { style, prompt: words });
    } catch (error) {
      setProblem(asProblem(page, error));
    }
  };
  return html`<form class="composer" ref=${form} onSubmit=${submit} noValidate aria-labelledby="composer-title">
    <h2 id="composer-title">${i18n.t('composer.title')}</h2>
    <${PhotoField} photo=${photo} onTake=${take} onRemove=${remove} submission=${state.submission} />
    <${StylePicker} chosen=${style} onChoose=${setStyle} />
    <${Wishes} value=${prompt} onInput=${setPrompt} isNeeded=${needsPrompt} />
    <div>
      <${ProblemNote} problem=${problem} />
      <${SendOff} state=${state} />
    </div>
  </form>`;
}

/** @param {{value: string, onInput: (words: string) => void, isNeeded: boolean}} props */
function Wishes({ value, onInput, isNeeded }) {
  const { i18n, config } = usePage();
  const left = config.maxPromptLength - value.length;
  return html`<label class="field">
    <span>${i18n.t(isNeeded ? 'wishes.needed' : 'wishes.label')}</span>
    <textarea
      data-testid="prompt" rows="3" maxlength=${config.maxPromptLength} aria-required=${isNeeded} aria-describedby="wishes-count"
      placeholder=${i18n.t(isNeeded ? 'wishes.examplePrompt' : 'wishes.example')} value=${value}
      onInput=${(/** @type {any} */ event) => onInput(event.target.value)}
    ></textarea>
    <small id="wishes-count" class=${left < 100 ? 'count near' : 'count'}>
      ${i18n.t('wishes.count', { used: i18n.number(value.length), limit: i18n.number(config.maxPromptLength) })}
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

/** @param {{state: State}} props */
function SendOff({ state }) {
  const { i18n } = usePage();
  const { submission, quota } = state;
  const label = submission ? `submit.${submission.phase}` : 'submit.ready';
  return html`<div class="send-off">
    <button class="primary" data-testid="submit" disabled=${Boolean(submission)}>
      ${i18n.t(label, { percent: i18n.percent(submission?.fraction ?? 0) })}
    </button>
    <p class="quota" data-testid="quota" data-remaining=${quota?.remainingQuota}>
      ${quota && i18n.t('quota.left', { left: i18n.number(quota.remainingQuota), limit: i18n.number(quota.dailyLimit) })}
      ${quota?.resetsAt && html`<br /><small>${i18n.t('quota.resets', { when: i18n.soon(quota.resetsAt) })}</small>`}
    </p>
  </div>`;
}
