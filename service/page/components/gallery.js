/** One pipeline's jobs: those under way, then those that have ended, the newest first. */

import { html, useRef } from '../vendor/preact-htm.js';
import { useDraft, usePage } from '../page.js';
import { newestFirst, progressOf, runningCount, unaccepted, visibleSubmissions } from '../store.js';
import { CancelAll } from './cancel-all.js';
import { Empty, Skeleton } from './empty.js';
import { JobCard } from './job-card.js';
import { More } from './more.js';
import { NotifySwitch } from './notify.js';
import { SubmissionCard } from './submission-card.js';

/** @typedef {import('../studio.js').Studio} Studio */
/** @typedef {import('../store.js').State} State */
/** @typedef {import('../store.js').Job} Job */

/** Which of the ended ones are shown. @type {Record<string, (job: Job) => boolean>} */
const FILTERS = {
  all: () => true,
  completed: ({ status }) => status === 'completed',
  other: ({ status }) => status !== 'completed',
};
/** With fewer there is nothing to sort out. */
const FEWEST_FILTERED = 2;

/** @param {{studio: Studio, state: State}} props */
export function Gallery({ studio, state }) {
  const { i18n, view } = usePage();
  const [mode, setMode] = useDraft('mode', view.modes[0]);
  const [filter, setFilter] = useDraft('filter', 'all');
  const jobs = newestFirst(state, view.pipeline);
  const submissions = visibleSubmissions(state, view.pipeline);
  const isEmpty = jobs.length === 0 && submissions.length === 0;
  const hint = hintOf(unaccepted(submissions).length, runningCount(state, view.pipeline));
  const hasHinted = useRef(false);
  hasHinted.current ||= Boolean(hint);
  return html`<section class="gallery" aria-labelledby="gallery-title">
    <div class="gallery-top">
      <h2 id="gallery-title" tabindex="-1">${i18n.of(view, 'gallery.title')}</h2>
      <${CancelAll} studio=${studio} jobs=${jobs} />
      ${!isEmpty &&
      view.modes.length > 1 &&
      html`<${Switch} name="view" label=${i18n.of(view, 'view.label')} choices=${view.modes} chosen=${mode} onChoose=${setMode} />`}
    </div>
    ${hasHinted.current &&
    html`<p class="gallery-hint">
      ${hint && html`<span data-testid="gallery-hint">${i18n.of(view, hint)}</span>`} ${hint === 'gallery.closeTab' && html`<${NotifySwitch} />`}
    </p>`}
    ${!state.isLoaded && isEmpty && state.connection !== 'refused' && html`<${Skeleton} />`}
    ${state.isLoaded && isEmpty && !state.hasMore && html`<${Empty} studio=${studio} />`}
    <${Prints} studio=${studio} state=${state} jobs=${jobs} submissions=${submissions} mode=${mode} filter=${filter} onFilter=${setFilter} />
    ${state.hasMore && html`<${More} studio=${studio} isEmpty=${isEmpty} />`}
  </section>`;
}

/** Whether the tab may be closed: what the service has taken in goes on without it. @param {number} unsent @param {number} running */
function hintOf(unsent, running) {
  if (unsent > 0) return 'gallery.keepTab';
  return running > 0 && 'gallery.closeTab';
}

/**
 * All in one list, so that a card stays the same one when its job ends.
 * @param {{studio: Studio, state: State, jobs: Job[], submissions: import('../store.js').Submission[], mode: string, filter: string,
 *   onFilter: (filter: string) => void}} props
 */
function Prints({ studio, state, jobs, submissions, mode, filter, onFilter }) {
  const { i18n } = usePage();
  const [running, ended] = [jobs.filter(({ terminal }) => !terminal), jobs.filter(({ terminal }) => terminal)];
  const shown = ended.filter(FILTERS[filter]);
  const isFiltered = ended.length >= FEWEST_FILTERED || filter !== 'all';
  const isSplit = ended.length > 0 && running.length + submissions.length > 0;
  const card = (/** @type {Job} */ job) => html`<${JobCard}
    key=${job.jobId} job=${job} progress=${progressOf(state, job)} preview=${state.previews.get(job.jobId)}
    cancellation=${state.cancellations.get(job.jobId)} clockOffset=${state.clockOffset} mode=${mode} studio=${studio}
  />`;
  const part = html`<li key="ended" class="prints-part">
    <span>${i18n.t('gallery.ended')}</span>
    ${isFiltered &&
    html`<${Switch} name="filter" label=${i18n.t('filter.label')} choices=${Object.keys(FILTERS)} chosen=${filter} onChoose=${onFilter} />`}
    ${shown.length < ended.length && html`<small role="status">${i18n.count('filter.hidden', ended.length - shown.length)}</small>`}
  </li>`;
  const underWay = submissions.map((each) => html`<${SubmissionCard} key=${each.id} submission=${each} studio=${studio} />`);
  // One array: between two of them a card would be made anew.
  return html`<ul class="prints" data-view=${mode}>
    ${[...underWay, ...running.map(card), ...(isSplit || isFiltered ? [part] : []), ...shown.map(card)]}
  </ul>`;
}

/** One of a few. @param {{name: string, label: string, choices: string[], chosen: string, onChoose: (choice: string) => void}} props */
function Switch({ name, label, choices, chosen, onChoose }) {
  const { i18n } = usePage();
  return html`<div class="view-switch" role="group" aria-label=${label}>
    ${choices.map(
      (each) => html`<button
        type="button" key=${each} data-testid=${`${name}-${each}`} aria-pressed=${String(each === chosen)} onClick=${() => onChoose(each)}
      >
        ${i18n.t(`${name}.${each}`)}
      </button>`,
    )}
  </div>`;
}
