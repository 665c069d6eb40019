/** How far an unfinished job is: its place in the queue, its stage, and an estimate by the time such jobs usually take. */

import { html, useEffect, useRef, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { runningCount } from '../store.js';
import { estimate, isLate, typicalMs } from '../typical.js';
import { Bar } from './card-parts.js';

/** @typedef {import('../store.js').Job} Job */
/** @typedef {import('../store.js').Progress} Progress */
/** @typedef {import('../i18n.js').I18n} I18n */

const TICK_MS = 1_000;
/** The service counts no further. */
const MOST_AHEAD = 4_000;
const QUARTERS = 4;
/** With more at once, the steps of each would only be noise to who listens. */
const MOST_SPOKEN = 3;

/** The time of this machine, each second anew. */
function useNow() {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  return now;
}

/**
 * @typedef {{fraction?: number, isEstimate: boolean, usualMs?: number, spentMs: number}} Reach `spentMs` is the time of the work alone
 * @param {import('../store.js').State} state @param {Job} job @param {Progress | undefined} progress @param {number} now
 * @returns {Reach}
 */
function reachOf(state, job, progress, now) {
  const isWorkedOn = job.status === 'processing';
  const spentMs = isWorkedOn && job.updatedAt ? Math.max(0, now + state.clockOffset - Date.parse(job.updatedAt)) : 0;
  const usualMs = typicalMs(state, job);
  // One that waits has no part done, and its place in the queue says more.
  if (job.status === 'queued') return { isEstimate: false, usualMs, spentMs };
  if (progress?.stage !== 'generating') return { fraction: progress?.fraction, isEstimate: false, usualMs, spentMs };
  if (usualMs === undefined) return { isEstimate: true, spentMs };
  return { fraction: estimate(progress.fraction, spentMs, usualMs), isEstimate: true, usualMs, spentMs };
}

/** @param {{job: Job, name: string, progress?: Progress, studio: import('../studio.js').Studio}} props */
export function Development({ job, name, progress, studio }) {
  const { i18n, view } = usePage();
  const { attempt = 1 } = job;
  const { state } = studio.store;
  const reach = reachOf(state, job, progress, useNow());
  useSpoken(reach.fraction, job, name, runningCount(state, view.pipeline) <= MOST_SPOKEN);
  const stage = progress
    ? i18n.of(view, `stage.${progress.stage}`, {}, progress.message ?? progress.stage)
    : i18n.of(view, `stage.${job.status}`);
  const place = job.status === 'queued' ? (progress?.queue ?? job.queue) : undefined;
  return html`<${Bar}
      fraction=${reach.fraction} label=${i18n.t(reach.isEstimate ? 'progress.estimate' : 'progress.label')} words=${barWords(i18n, stage, reach)}
    />
    ${place && html`<p class="facts" data-testid="queue-place">${placeWords(i18n, place)}</p>`}
    ${reach.usualMs !== undefined && html`<p class="facts" data-testid="typical">${usualWords(i18n, reach, reach.usualMs)}</p>`}
    ${attempt > 1 && html`<p class="facts">${i18n.t('job.attempt', { attempt })}</p>`}`;
}

/** An estimate is no number. @param {I18n} i18n @param {string} stage @param {Reach} reach */
function barWords(i18n, stage, { fraction, isEstimate }) {
  return fraction === undefined || isEstimate ? stage : `${stage} · ${i18n.percent(fraction)}`;
}

/** @param {I18n} i18n @param {Reach} reach @param {number} usualMs */
function usualWords(i18n, { spentMs }, usualMs) {
  if (isLate(spentMs, usualMs)) return i18n.t('typical.late');
  return i18n.t('typical.usual', { time: i18n.duration(Math.max(1, Math.round(usualMs / 1_000)) * 1_000) });
}

/** @param {I18n} i18n @param {import('../store.js').QueuePlace} place */
function placeWords(i18n, { ahead, etaSeconds }) {
  const words = aheadWords(i18n, ahead);
  if (etaSeconds === undefined) return words;
  return `${words} · ${i18n.t('queue.eta', { time: i18n.duration(etaSeconds * 1_000) })}`;
}

/** @param {I18n} i18n @param {number} ahead */
function aheadWords(i18n, ahead) {
  if (ahead === 0) return i18n.t('queue.next');
  if (ahead >= MOST_AHEAD) return i18n.t('queue.many', { ahead: i18n.number(MOST_AHEAD) });
  return i18n.t('queue.ahead', { ahead: i18n.number(ahead) });
}

/** Say each quarter once to who does not see the bar. @param {number | undefined} fraction @param {Job} job @param {string} name @param {boolean} isSpoken */
function useSpoken(fraction, job, name, isSpoken) {
  const { i18n, announcer } = usePage();
  const quarter = Math.floor((fraction ?? 0) * QUARTERS);
  const said = useRef(quarter);
  useEffect(() => {
    if (quarter <= said.current) return;
    said.current = quarter;
    if (isSpoken) announcer.say(i18n.t('progress.spoken', { name, percent: i18n.percent(quarter / QUARTERS) }), job.jobId);
  }, [quarter]);
}
