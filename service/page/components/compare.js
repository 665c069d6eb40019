/** Before and after: one picture over the other with a slider between them, or the two side by side. */

import { html, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';

/** @typedef {import('../store.js').Job} Job */
/** @typedef {import('../studio.js').Studio} Studio */

/**
 * A picture behind a signed link. When the link has expired the job is read again, once for each showing.
 * @param {{src: string, alt: string, testId: string, jobId: string, studio: Studio, className?: string}} props
 */
export function Picture({ src, alt, testId, jobId, studio, className }) {
  const { i18n } = usePage();
  const [refused, setRefused] = useState('');
  const [reading, setReading] = useState(/** @type {'not yet' | 'under way' | 'done'} */ ('not yet'));
  const refresh = async () => {
    setRefused(src);
    if (reading !== 'not yet') return;
    setReading('under way');
    await studio.refreshLinks(jobId).catch(() => {});
    setReading('done');
  };
  if (refused === src && reading === 'done') {
    return html`<span class=${`lost ${className ?? ''}`} role="img" aria-label=${alt}>${i18n.t('picture.lost')}</span>`;
  }
  return html`<img class=${className} data-testid=${testId} src=${src} alt=${alt} loading="lazy" onError=${refresh} />`;
}

/** @param {{job: Job, preview?: string, view: string, studio: Studio, name: string}} props */
export function Compare({ job, preview, view, studio, name }) {
  const { i18n } = usePage();
  const [split, setSplit] = useState(50);
  const { width = 1, height = 1 } = job.result ?? {};
  const original = preview ?? job.inputImageSignedUrl;
  const isSlider = view === 'slider' && Boolean(original);
  const shape = { '--split': `${split}%`, '--shape': `${width} / ${height}` };
  return html`<div class="sheet" data-view=${isSlider ? 'slider' : 'pair'} style=${shape}>
    <${Picture} testId="result-image" src=${job.outputImageUrl} alt=${i18n.t('picture.result', { style: name })} jobId=${job.jobId} studio=${studio} />
    ${original && html`<${Picture} className="before" testId="original-image" src=${original} alt=${i18n.t('picture.original')} jobId=${job.jobId} studio=${studio} />`}
    ${isSlider && html`<${Split} value=${split} onInput=${setSplit} name=${name} />`}
  </div>`;
}

/** @param {{value: number, onInput: (percent: number) => void, name: string}} props */
function Split({ value, onInput, name }) {
  const { i18n } = usePage();
  const words = i18n.t('compare.value', { percent: i18n.percent(value / 100) });
  return html`<span class="split-line" aria-hidden="true"></span>
    <span class="split-label before-label" aria-hidden="true">${i18n.t('compare.before')}</span>
    <span class="split-label after-label" aria-hidden="true">${i18n.t('compare.after')}</span>
    <input
      type="range" class="split" min="0" max="100" value=${value} data-testid="compare"
      aria-label=${i18n.t('compare.label', { style: name })} aria-valuetext=${words}
      onInput=${(/** @type {any} */ event) => onInput(Number(event.target.value))}
    />`;
}
