/** One pipeline's jobs, newest first, running ones among them. */

import { html, useEffect, useState } from '../vendor/preact-htm.js';
import { asProblem, useDraft, usePage, useProblem } from '../page.js';
import { newestFirst, progressOf, runningCount, unaccepted, visibleSubmissions } from '../store.js';
import { JobCard } from './job-card.js';
import { SubmissionCard } from './submission-card.js';

/** @typedef {import('../studio.js').Studio} Studio */
/** @typedef {import('../store.js').State} State */

/** @param {{studio: Studio, state: State}} props */
export function Gallery({ studio, state }) {
  const { i18n, view } = usePage();
  const [mode, setMode] = useDraft('mode', view.modes[0]);
  const jobs = newestFirst(state, view.pipeline);
  const submissions = visibleSubmissions(state, view.pipeline);
  const isEmpty = jobs.length === 0 && submissions.length === 0;
  const hint = hintOf(unaccepted(submissions).length, runningCount(state, view.pipeline));
  return html`<section class="gallery" aria-labelledby="gallery-title">
    <div class="gallery-top">
      <h2 id="gallery-title" tabindex="-1">${i18n.of(view, 'gallery.title')}</h2>
      ${!isEmpty && view.modes.length > 1 && html`<${ModeSwitch} mode=${mode} onChoose=${setMode} />`}
    </div>
    ${hint && html`<p class="gallery-hint" data-testid="gallery-hint">${i18n.of(view, hint)}</p>`}
    ${isEmpty && !state.hasMore && html`<${Empty} isLoaded=${state.isLoaded} />`}
    <ul class="prints" data-view=${mode}>
      ${submissions.map((each) => html`<${SubmissionCard} key=${each.id} submission=${each} studio=${studio} />`)}
      ${jobs.map(
        (job) => html`<${JobCard}
          key=${job.jobId} job=${job} progress=${progressOf(state, job)} preview=${state.previews.get(job.jobId)}
          cancellation=${state.cancellations.get(job.jobId)} clockOffset=${state.clockOffset} mode=${mode} studio=${studio}
        />`,
      )}
    </ul>
    ${state.hasMore && html`<${More} studio=${studio} isEmpty=${isEmpty} />`}
  </section>`;
}

/** Whether the tab may be closed: what the service has taken in goes on without it. @param {number} unsent @param {number} running */
function hintOf(unsent, running) {
  if (unsent > 0) return 'gallery.keepTab';
  return running > 0 && 'gallery.closeTab';
}

/** @param {{mode: string, onChoose: (mode: string) => void}} props */
function ModeSwitch({ mode, onChoose }) {
  const { i18n, view } = usePage();
  return html`<div class="view-switch" role="group" aria-label=${i18n.of(view, 'view.label')}>
    ${view.modes.map(
      (each) => html`<button
        type="button" key=${each} data-testid=${`view-${each}`} aria-pressed=${String(each === mode)} onClick=${() => onChoose(each)}
      >
        ${i18n.t(`view.${each}`)}
      </button>`,
    )}
  </div>`;
}

/** @param {{isLoaded: boolean}} props */
function Empty({ isLoaded }) {
  const { i18n, view } = usePage();
  if (!isLoaded) return html`<p class="empty">${i18n.t('gallery.loading')}</p>`;
  return html`<div class="empty" data-testid="empty">
    <div class="empty-line" aria-hidden="true"><span></span><span></span><span></span></div>
    <p>${i18n.of(view, 'gallery.empty')}</p>
  </div>`;
}

/** @param {{studio: Studio, isEmpty: boolean}} props */
function More({ studio, isEmpty }) {
  const page = usePage();
  const { i18n, view } = page;
  const [isBusy, setIsBusy] = useState(false);
  const [problem, setProblem] = useProblem();
  const load = async () => {
    if (isBusy) return;
    setIsBusy(true);
    setProblem(null);
    try {
      await studio.loadMore(view.pipeline);
    } catch (error) {
      setProblem(asProblem(page, error));
    }
    setIsBusy(false);
  };
  // The newest jobs may all be of other pipelines.
  useEffect(() => void (isEmpty && load()), []);
  return html`<p class="more">
    <button type="button" data-testid="more" aria-disabled=${isBusy} onClick=${load}>${i18n.of(view, 'gallery.more')}</button>
    ${problem && html`<span class="problem" role="alert">${problem.text}</span>`}
  </p>`;
}
