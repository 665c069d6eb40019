/** A profile photo's way: to storage, unless it is there already, then to a job. */

import { uploadPhoto } from '../upload.js';

/**
 * @param {import('../studio.js').Studio} studio @param {string} pipeline @param {import('../studio.js').Photo} photo
 * @param {{style: string, prompt: string, parameters: {format?: string, background?: string}}} asked @param {() => void} onAccepted
 */
export function submitPhoto(studio, pipeline, photo, asked, onAccepted) {
  /** @param {import('../store.js').Job} job */
  const isIts = (job) =>
    Boolean(photo.fileKey && job.inputImageUrl?.endsWith(photo.fileKey)) &&
    job.style === asked.style &&
    (job.prompt ?? '') === asked.prompt &&
    ['format', 'background'].every((name) => job.parameters?.[name] === /** @type {any} */ (asked.parameters)[name]);
  const wish = { pipeline, asked, previewUrl: photo.previewUrl, isIts, onAccepted };
  return studio.submit(wish, async ({ signal, change, ask }) => {
    const onProgress = (/** @type {number} */ fraction) => change({ fraction });
    photo.fileKey ||= await uploadPhoto({ api: studio.api, file: photo.file, onProgress, signal });
    change({ phase: 'sending', fraction: 1 });
    const { parameters, ...wanted } = asked;
    const body = { fileKey: photo.fileKey, ...wanted, ...parameters };
    return ask(body, (key) => studio.api.start('/generate', key, { body })).catch((error) => {
      // Only then does the next try upload it again: another photo is another wish, and another job.
      if (error.code === 'file_not_found') photo.fileKey = '';
      throw error;
    });
  });
}
