/** The views, one for each system, in the order of the navigation. Another system is one more module, named here. */

import { cracks } from './cracks.js';
import { diary } from './diary.js';
import { parking } from './parking.js';
import { photos } from './photos.js';

/** @typedef {import('../page.js').View} View */

/** @type {View[]} */
const VIEWS = [photos, cracks, parking, diary];

/** The views of what this service offers. @param {import('../page.js').Config} config @returns {View[]} */
export function offeredViews({ pipelines }) {
  return VIEWS.filter(({ pipeline }) => pipelines?.includes(pipeline) ?? true);
}

/** Whose job it is; a job may be of a system that has no view. @param {View[]} views @param {import('../store.js').Job} job */
export function viewOf(views, job) {
  return views.find(({ pipeline }) => pipeline === job.pipeline);
}
