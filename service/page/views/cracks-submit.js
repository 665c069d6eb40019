/** A photo of a wall on its way: with the request itself, which does not wait for the end. */

/**
 * @param {import('../studio.js').Studio} studio @param {string} pipeline @param {import('../studio.js').Photo} photo
 * @param {() => void} onAccepted
 */
export function submitWall(studio, pipeline, { file, previewUrl }, onAccepted) {
  // Nothing in a job names the photo that came with the request; one of these is sent at a time.
  let isSending = false;
  const wish = { pipeline, asked: {}, previewUrl, isIts: () => isSending, onAccepted };
  return studio.submit(wish, async ({ signal, change, ask }) => {
    isSending = true;
    // All that is left then is the answer.
    const onProgress = (/** @type {number} */ fraction) =>
      change(fraction < 1 ? { fraction, phase: 'uploading' } : { fraction: undefined, phase: 'sending' });
    try {
      return await ask({ pipeline, previewUrl }, (key) => send(studio.api, file, key, { signal, onProgress }));
    } finally {
      isSending = false;
    }
  });
}

/**
 * @param {import('../api.js').Api} api @param {File} file @param {string} key
 * @param {{signal: AbortSignal, onProgress: (fraction: number) => void}} way
 */
async function send(api, file, key, way) {
  const body = new FormData();
  body.append('file', file);
  const answer = await api.start('/detect-crack', key, { body, headers: { Prefer: 'wait=0' }, ...way });
  // Sent again when its job had ended, it gives the old clients' answer: the job is read then.
  return answer.jobId ? answer : api.job(answer.file_id);
}
