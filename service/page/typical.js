/** How long a job usually takes, by the person's own, and how far one is by that: an estimate, and called one. */

/** @typedef {import('./store.js').Job} Job */

const MOST_COUNTED = 9;
const ENOUGH_OF_A_STYLE = 3;
/** An estimate never reaches this: only the service knows the end. */
const HIGHEST_ESTIMATE = 0.9;
const LATE = 1.5;

/** @param {number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/**
 * The usual time of work on a job like this one, in milliseconds, by the newest of its kind that are done: of its style where
 * there are enough, else of its pipeline. Undefined where there is none.
 * @param {import('./store.js').State} state @param {Job} job @returns {number | undefined}
 */
export function typicalMs({ jobs }, { pipeline, style }) {
  const done = [...jobs.values()].filter((each) => each.pipeline === pipeline && each.status === 'completed' && each.processingTime);
  done.sort((a, b) => b.createdAt.localeCompare(a.createdAt));
  const alike = done.filter((each) => each.style === style);
  const counted = (alike.length >= ENOUGH_OF_A_STYLE ? alike : done).slice(0, MOST_COUNTED);
  return counted.length > 0 ? median(counted.map(({ processingTime = 0 }) => processingTime)) : undefined;
}

/**
 * How far a job is that has been worked on for so long: fast at first, then slower, and never at its end.
 * @param {number} from what the service said last @param {number} spentMs @param {number} usualMs
 */
export function estimate(from, spentMs, usualMs) {
  const rest = Math.max(0, HIGHEST_ESTIMATE - from);
  return from + rest * (1 - Math.exp((-2 * Math.max(0, spentMs)) / Math.max(1, usualMs)));
}

/** Whether it has taken clearly longer than it usually does. @param {number} spentMs @param {number} usualMs */
export const isLate = (spentMs, usualMs) => spentMs > LATE * usualMs + 1_000;
