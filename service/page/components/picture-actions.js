/** What may be done with a finished picture: look at it closely, save, copy, share it, or begin anew with it. */

import { html, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { canCopy, canShare, copy, fetchPicture, save, share } from '../pictures.js';
import { Details } from './details.js';
import { ZoomDialog } from './zoom.js';

/** @typedef {import('../store.js').Job} Job */
/** @typedef {(action: () => Promise<unknown>, code?: string) => unknown} Act */

/**
 * The buttons that are always there.
 * @param {{job: Job, studio: import('../studio.js').Studio, name: string, preview?: string, act: Act, button: (action: string, onClick: () => unknown) => any}} props
 */
export function PictureButtons({ job, studio, name, preview, act, button }) {
  const { i18n, view } = usePage();
  const [isZoomed, setIsZoomed] = useState(false);
  const use = async () => {
    studio.drafts.takePhoto(view.id, await fetchPicture(studio.api, job));
    studio.toasts.show({ words: i18n.t('use.done', { name }), isHint: true });
    document.getElementById('composer-title')?.focus();
    scrollTo({ top: 0, behavior: 'smooth' });
  };
  return html`${button('download', () => act(async () => save(await fetchPicture(studio.api, job)), 'download'))}
    ${button('zoom', () => setIsZoomed(true))} ${view.isRepeatable && button('use', () => act(use, 'download'))}
    ${isZoomed &&
    html`<${ZoomDialog}
      src=${job.outputImageUrl} original=${preview ?? job.inputImageSignedUrl} id=${job.jobId} name=${name}
      words=${i18n.of(view, 'picture.result', { name })} onRefresh=${() => studio.refreshLinks(job.jobId)} onClose=${() => setIsZoomed(false)}
    />`}`;
}

/**
 * The facts, and the buttons that are needed more seldom.
 * @param {{job: Job, studio: import('../studio.js').Studio, name: string, act: Act}} props
 */
export function PictureDetails({ job, studio, name, act }) {
  const { i18n } = usePage();
  const hasPicture = Boolean(job.outputImageUrl);
  const copyPicture = async () => {
    await copy(fetchPicture(studio.api, job));
    studio.toasts.show({ words: i18n.t('copyPicture.done') });
  };
  /** @param {string} action @param {() => Promise<unknown>} work */
  const button = (action, work) => html`<button
    type="button" class="small" data-testid=${action} aria-label=${i18n.t(`${action}.label`, { name })} onClick=${() => act(work, action)}
  >
    ${i18n.t(action)}
  </button>`;
  return html`<${Details} job=${job} name=${name}>
    ${hasPicture && canCopy() && button('copyPicture', copyPicture)}
    ${hasPicture && canShare() && button('share', async () => share(await fetchPicture(studio.api, job)))}
  <//>`;
}
