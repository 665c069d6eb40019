/** A photo of a wall on its way: with the request itself, which does not wait for the end. */

/**
 * @param {import('../studio.js').Studio} studio @param {string} pipeline @param {import('../studio.js').Photo} photo
 */
export function submitWall(studio, pipeline, { file, previewUrl }) {
  // Nothing in a job names the photo that came with the request; one of these is sent at a time.
  const wish = { pipeline, asked: {}, previewUrl, isIts: () => true };
  return studio.submit(wish, ({ signal, ask }) => ask({ pipeline, previewUrl }, (key) => send(studio.api, file, key, signal)));
}

/** @param {import('../api.js').Api} api @param {File} file @param {string} key @param {AbortSignal} signal */
async function send(api, file, key, signal) {
  const body = new FormData();
  body.append('file', file);
  const answer = await api.start('/detect-crack', key, { body, headers: { Prefer: 'wait=0' }, signal });
  // Sent again when its job had ended, it gives the old clients' answer: the job is read then.
  return answer.jobId ? answer : api.job(answer.file_id);
}
