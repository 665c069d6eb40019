/** Before and after: one picture over the other with a slider between them, or the two side by side. */

import { html, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';

/**
 * A picture behind a signed link. When the link has expired it is asked for again, once for each showing.
 * @param {{src: string, alt: string, testId: string, onRefresh: () => Promise<unknown>, className?: string}} props
 */
export function Picture({ src, alt, testId, onRefresh, className }) {
  const { i18n } = usePage();
  const [refused, setRefused] = useState('');
  const [reading, setReading] = useState(/** @type {'not yet' | 'under way' | 'done'} */ ('not yet'));
  const refresh = async () => {
    setRefused(src);
    if (reading !== 'not yet') return;
    setReading('under way');
    await onRefresh().catch(() => {});
    setReading('done');
  };
  if (refused === src && reading === 'done') {
    return html`<span class=${`lost ${className ?? ''}`} role="img" aria-label=${alt}>${i18n.t('picture.lost')}</span>`;
  }
  return html`<img class=${className} data-testid=${testId} src=${src} alt=${alt} loading="lazy" onError=${refresh} />`;
}

/** @param {import('../page.js').CardProps} props */
export function Compare({ view, job, preview, mode, studio, name }) {
  const { i18n } = usePage();
  const [split, setSplit] = useState(50);
  const { width = 1, height = 1 } = job.result ?? {};
  const original = preview ?? job.inputImageSignedUrl;
  const isSlider = mode === 'slider' && Boolean(original);
  const shape = { '--split': `${split}%`, '--shape': `${width} / ${height}` };
  const refresh = () => studio.refreshLinks(job.jobId);
  return html`<div class="sheet" data-view=${isSlider ? 'slider' : 'pair'} style=${shape}>
    <${Picture} testId="result-image" src=${job.outputImageUrl} alt=${i18n.of(view, 'picture.result', { name })} onRefresh=${refresh} />
    ${original && html`<${Picture} className="before" testId="original-image" src=${original} alt=${i18n.t('picture.original')} onRefresh=${refresh} />`}
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
      aria-label=${i18n.t('compare.label', { name })} aria-valuetext=${words}
      onInput=${(/** @type {any} */ event) => onInput(Number(event.target.value))}
    />`;
}
