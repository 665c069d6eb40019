/** "My pictures": every job, newest first, running ones among them. */

import { html, useState } from '../vendor/preact-htm.js';
import { asProblem, usePage, useProblem } from '../page.js';
import { newestFirst, progressOf, runningCount, visibleSubmission } from '../store.js';
import { JobCard, UploadCard } from './job-card.js';

const VIEWS = ['slider', 'pair'];

/** @param {{studio: import('../studio.js').Studio, state: import('../store.js').State}} props */
export function Gallery({ studio, state }) {
  const { i18n } = usePage();
  const [view, setView] = useState(VIEWS[0]);
  const jobs = newestFirst(state);
  const submission = visibleSubmission(state);
  const isEmpty = jobs.length === 0 && !submission;
  return html`<section class="gallery" aria-labelledby="gallery-title">
    <div class="gallery-top">
      <h2 id="gallery-title" tabindex="-1">${i18n.t('gallery.title')}</h2>
      ${!isEmpty && html`<${ViewSwitch} view=${view} onChoose=${setView} />`}
    </div>
    ${runningCount(state) > 0 && html`<p class="gallery-hint">${i18n.t('gallery.closeTab')}</p>`}
    ${isEmpty && html`<${Empty} isLoaded=${state.isLoaded} />`}
    <ul class="prints" data-view=${view}>
      ${submission && html`<${UploadCard} key="submission" submission=${submission} studio=${studio} />`}
      ${jobs.map(
        (job) => html`<${JobCard}
          key=${job.jobId} job=${job} progress=${progressOf(state, job)} preview=${state.previews.get(job.jobId)}
          cancellation=${state.cancellations.get(job.jobId)} clockOffset=${state.clockOffset} view=${view} studio=${studio}
        />`,
      )}
    </ul>
    ${state.hasMore && html`<${More} studio=${studio} />`}
  </section>`;
}

/** @param {{view: string, onChoose: (view: string) => void}} props */
function ViewSwitch({ view, onChoose }) {
  const { i18n } = usePage();
  return html`<div class="view-switch" role="group" aria-label=${i18n.t('view.label')}>
    ${VIEWS.map(
      (each) => html`<button
        type="button" key=${each} data-testid=${`view-${each}`} aria-pressed=${String(each === view)} onClick=${() => onChoose(each)}
      >
        ${i18n.t(`view.${each}`)}
      </button>`,
    )}
  </div>`;
}

/** @param {{isLoaded: boolean}} props */
function Empty({ isLoaded }) {
  const { i18n } = usePage();
  if (!isLoaded) return html`<p class="empty">${i18n.t('gallery.loading')}</p>`;
  return html`<div class="empty" data-testid="empty">
    <div class="empty-line" aria-hidden="true"><span></span><span></span><span></span></div>
    <p>${i18n.t('gallery.empty')}</p>
  </div>`;
}

/** @param {{studio: import('../studio.js').Studio}} props */
function More({ studio }) {
  const page = usePage();
  const { i18n } = page;
  const [isBusy, setIsBusy] = useState(false);
  const [problem, setProblem] = useProblem();
  const load = async () => {
    setIsBusy(true);
    setProblem(null);
    try {
      await studio.loadMore();
    } catch (error) {
      setProblem(asProblem(page, error));
    }
    setIsBusy(false);
  };
  return html`<p class="more">
    <button type="button" data-testid="more" disabled=${isBusy} onClick=${load}>${i18n.t('gallery.more')}</button>
    ${problem && html`<span class="problem" role="alert">${problem.text}</span>`}
  </p>`;
}
