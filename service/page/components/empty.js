/** A gallery with nothing in it: because it is still being fetched, or because there is something to try first. */

import { html, useState } from '../vendor/preact-htm.js';
import { asProblem, usePage, useProblem } from '../page.js';

const SHADOWS = 3;

/** The shape of what will come. */
export function Skeleton() {
  const { i18n } = usePage();
  return html`<div class="skeletons" data-testid="loading">
    <p class="unseen" role="status">${i18n.t('gallery.loading')}</p>
    ${Array.from({ length: SHADOWS }, (_, index) => html`<div key=${index} class="skeleton" aria-hidden="true"><span></span><i></i><i></i></div>`)}
  </div>`;
}

/** @param {{studio: import('../studio.js').Studio}} props */
export function Empty({ studio }) {
  const { i18n, view } = usePage();
  return html`<div class="empty" data-testid="empty">
    <p>${i18n.of(view, 'gallery.empty')}</p>
    ${view.example && html`<${Try} studio=${studio} example=${view.example} />`}
  </div>`;
}

/** @param {string} photo */
const addressOf = (photo) => `/page/examples/${photo}`;

/** @param {string} photo @returns {Promise<File>} */
async function fetchExample(photo) {
  const response = await fetch(addressOf(photo));
  if (!response.ok) throw new Error(`the service answered ${response.status}`);
  return new File([await response.blob()], photo, { type: 'image/jpeg' });
}

/** Something to begin with, put into the form by one press. @param {{studio: import('../studio.js').Studio, example: import('../page.js').Example}} props */
function Try({ studio, example }) {
  const { i18n, view } = usePage();
  const [problem, setProblem] = useProblem();
  const [isBusy, setIsBusy] = useState(false);
  const use = async () => {
    if (isBusy) return;
    setIsBusy(true);
    setProblem(null);
    try {
      if ('photo' in example) studio.drafts.takePhoto(view.id, await fetchExample(example.photo));
      else studio.drafts.set(`${view.id}.${example.draft}`, i18n.t(example.words));
      studio.toasts.show({ words: i18n.of(view, 'example.done', { button: i18n.of(view, 'submit.ready') }), isHint: true });
      document.getElementById('composer-title')?.focus();
    } catch {
      setProblem(asProblem({ code: 'network' }));
    }
    setIsBusy(false);
  };
  return html`<figure class="example">
    ${'photo' in example
      ? html`<img src=${addressOf(example.photo)} alt=${i18n.of(view, 'example.alt')} />`
      : html`<blockquote>${i18n.t(example.words)}</blockquote>`}
    <figcaption>
      <button type="button" data-testid="example" onClick=${use}>${i18n.of(view, 'example.use')}</button>
      <small>${i18n.of(view, 'example.credit')}</small>
      ${problem && html`<span class="problem" role="alert">${i18n.problem(problem)}</span>`}
    </figcaption>
  </figure>`;
}
