/** A diary entry: its words, its mood, its keywords and its picture. */

import { Picture } from '../components/compare.js';
import { usePage } from '../page.js';
import { html } from '../vendor/preact-htm.js';

/** @typedef {import('../page.js').CardProps} CardProps */
/** @typedef {{label: string, score: number, emotions?: Record<string, number>}} Sentiment */
/** @typedef {{sentiment?: Sentiment, keywords?: string[], imageFailure?: {code: string, message: string}}} Reading */

/** The picture alone: there is no photo that it came from. @param {CardProps} props */
export function DiarySheet({ job, studio, name }) {
  const { i18n } = usePage();
  if (!job.outputImageUrl) return null;
  return html`<div class="sheet illustration">
    <${Picture}
      testId="result-image" src=${job.outputImageUrl} alt=${i18n.t('diary.picture.result', { name })}
      onRefresh=${() => studio.refreshLinks(job.jobId)}
    />
  </div>`;
}

/** What the words say is known before the picture is there. @param {CardProps} props */
export function DiaryNotes({ job, progress, name }) {
  const { i18n } = usePage();
  /** @type {Reading} */
  const { sentiment, keywords = [], imageFailure } = /** @type {any} */ (job.result ?? progress?.partial ?? {});
  const { text } = job.parameters ?? {};
  return html`<div class="entry" data-testid="entry-card">
    ${text && html`<${Entry} text=${text} />`}
    ${job.style && html`<p class="facts">${i18n.t('diary.inStyle', { style: job.style })}</p>`}
    ${sentiment && html`<${Mood} sentiment=${sentiment} name=${name} />`}
    ${keywords.length > 0 &&
    html`<ul class="keywords" aria-label=${i18n.t('diary.keywords')} data-testid="keywords">
      ${keywords.map((word) => html`<li key=${word}>${word}</li>`)}
    </ul>`}
    ${imageFailure && html`<${NoPicture} failure=${imageFailure} />`}
  </div>`;
}

const LONG_CHARACTERS = 140;

/** The entry, of which the first words will do. @param {{text: string}} props */
function Entry({ text }) {
  const { i18n } = usePage();
  if (text.length <= LONG_CHARACTERS) return html`<p class="entry-text" data-testid="entry-text">${text}</p>`;
  return html`<details class="entry-text">
    <summary>
      <span class="wish" data-testid="entry-text">${text.slice(0, LONG_CHARACTERS)}…</span> <small>${i18n.t('diary.whole')}</small>
    </summary>
    <p>${text}</p>
  </details>`;
}

/** @param {{sentiment: Sentiment, name: string}} props */
function Mood({ sentiment: { label, score, emotions = {} }, name }) {
  const { i18n } = usePage();
  const strongest = Object.entries(emotions).sort(([, a], [, b]) => b - a);
  const words = i18n.firstOf([`diary.mood.${label}`], label);
  return html`<p class="mood" data-testid="mood" data-label=${label}>
      <strong>${words}</strong> <span class="facts">${i18n.t('diary.score', { percent: i18n.percent(score) })}</span>
    </p>
    <ul class="emotions" aria-label=${i18n.t('diary.emotions', { name })} data-testid="emotions">
      ${strongest.map(([emotion, share]) => html`<${Emotion} key=${emotion} emotion=${emotion} share=${share} />`)}
    </ul>`;
}

/** @param {{emotion: string, share: number}} props */
function Emotion({ emotion, share }) {
  const { i18n } = usePage();
  const words = i18n.firstOf([`diary.emotion.${emotion}`], emotion);
  return html`<li data-emotion=${emotion}>
    <span aria-hidden="true">${words}</span>
    <meter min="0" max="1" value=${share} aria-label=${words} aria-valuetext=${i18n.percent(share)}></meter>
    <span aria-hidden="true">${i18n.percent(share)}</span>
  </li>`;
}

/** @param {{failure: {code: string, message: string}}} props */
function NoPicture({ failure: { code, message } }) {
  const { i18n } = usePage();
  return html`<p class="no-picture" data-testid="image-failure" data-code=${code}>
    ${i18n.t('diary.noPicture')} ${i18n.firstOf([`diary.failure.${code}`, `failure.${code}`], message)}
  </p>`;
}
