/** Crack detection: boxes over the photo, and a threshold that the person moves. */

import { BoxedPhoto, boxWords } from '../components/boxes.js';
import { Compare } from '../components/compare.js';
import { Composer, useForm, usePhoto } from '../components/composer.js';
import { PhotoField } from '../components/photo-field.js';
import { usePage } from '../page.js';
import { html, useState } from '../vendor/preact-htm.js';
import { submitWall } from './cracks-submit.js';

/** @typedef {import('../components/boxes.js').Box & {confidence: number}} Detection */
/** @typedef {{detections: Detection[], threshold: number, width: number, height: number}} Findings */
/** @typedef {import('../page.js').CardProps} CardProps */
/** @typedef {import('../i18n.js').I18n} I18n */

const PIPELINE = 'crack-detection';
const STEP = 0.01;

/** @param {{studio: import('../studio.js').Studio, state: import('../store.js').State}} props */
function CrackComposer({ studio, state }) {
  const { i18n } = usePage();
  const form = useForm(state);
  const { photo, take, remove } = usePhoto(form);
  const submit = () => {
    if (!photo) return form.refuse('photo_missing', 'photo-input');
    const clear = () => {
      form.settle();
      remove(photo);
    };
    return form.send(() => submitWall(studio, PIPELINE, photo, clear));
  };
  return html`<${Composer} state=${state} form=${form} onSubmit=${submit}>
    <p class="introduction">${i18n.t('cracks.introduction')}</p>
    <${PhotoField} form=${form} photo=${photo} onTake=${take} onRemove=${remove} camera="environment" />
  <//>`;
}

/** Those at or above the threshold, surest first as they came. @param {Detection[]} detections @param {number} threshold */
const minimum = (detections, threshold) => detections.filter(({ confidence }) => confidence >= threshold);

/** @param {I18n} i18n @param {Detection[]} shown @param {number} all */
function verdict(i18n, shown, all) {
  if (all === 0) return i18n.t('cracks.none');
  if (shown.length === 0) return i18n.count('cracks.noneHere', all);
  return i18n.count('cracks.found', shown.length, { confidence: i18n.percent(shown[0].confidence) });
}

/** @param {CardProps} props */
function CrackSheet(props) {
  const { i18n } = usePage();
  const { job, mode, preview, studio } = props;
  /** @type {Findings} */
  const { detections = [], threshold: first = 0, width = 1, height = 1 } = /** @type {any} */ (job.result ?? {});
  const [threshold, setThreshold] = useState(first);
  const isCompared = mode !== 'boxes' && Boolean(job.outputImageUrl);
  // The result picture shows the boxes of the threshold that was asked for.
  const shown = minimum(detections, isCompared ? first : threshold);
  const words = verdict(i18n, shown, detections.length);
  const photo = html`<${BoxedPhoto}
    src=${preview ?? job.inputImageSignedUrl} alt=${i18n.t('picture.original')} size=${{ width, height }} boxes=${shown}
    words=${words} isNumbered=${true} onRefresh=${() => studio.refreshLinks(job.jobId)}
  />`;
  return html`${isCompared ? html`<${Compare} ...${props} />` : photo}
    <div class="findings" data-testid="findings" data-count=${shown.length}>
      <output class="verdict" data-testid="verdict">${words}</output>
      ${!isCompared && detections.length > 0 && html`<${Threshold} jobId=${job.jobId} value=${threshold} onInput=${setThreshold} />`}
      ${shown.length > 0 && html`<${Places} shown=${shown} size=${{ width, height }} />`}
    </div>`;
}

/** @param {{jobId: string, value: number, onInput: (threshold: number) => void}} props */
function Threshold({ jobId, value, onInput }) {
  const { i18n } = usePage();
  const id = `threshold-${jobId}`;
  return html`<div class="threshold">
    <label for=${id}>${i18n.t('cracks.threshold')}</label>
    <input
      type="range" id=${id} min="0" max="1" step=${STEP} value=${value} data-testid="threshold" aria-valuetext=${i18n.percent(value)}
      onInput=${(/** @type {any} */ event) => onInput(Number(event.target.value))}
    />
    <span class="threshold-value" aria-hidden="true" data-testid="threshold-value">${i18n.percent(value)}</span>
  </div>`;
}

/** What the boxes show, in words. @param {{shown: Detection[], size: import('../components/boxes.js').Size}} props */
function Places({ shown, size }) {
  const { i18n } = usePage();
  return html`<details class="places">
    <summary data-testid="places">${i18n.t('cracks.places')}</summary>
    <ol>
      ${shown.map((each, index) => html`<li key=${index}>${i18n.percent(each.confidence)}: ${boxWords(i18n, each, size)}</li>`)}
    </ol>
  </details>`;
}

/** @type {import('../page.js').View} */
export const cracks = {
  id: 'cracks',
  pipeline: PIPELINE,
  modes: ['boxes', 'slider', 'pair'],
  title: ({ i18n }) => i18n.t('cracks.job'),
  Composer: CrackComposer,
  Sheet: CrackSheet,
  example: { photo: 'wall.jpg' },
};
