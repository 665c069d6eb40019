/** One request whose body's way can be watched: fetch() tells nothing about the bytes sent, XMLHttpRequest does. */

/**
 * Like `fetch`, with progress.
 * @param {string} path
 * @param {{method: string, headers: Record<string, string>, body?: any, signal: AbortSignal}} request
 * @param {(fraction: number) => void} onProgress
 * @returns {Promise<Response>} @throws {TypeError} when no answer came, or the signal's reason
 */
export function sendForm(path, { method, headers, body, signal }, onProgress) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    request.upload.onprogress = ({ loaded, total }) => onProgress(total > 0 ? loaded / total : 1);
    request.onload = () => resolve(asResponse(request));
    request.onerror = () => reject(new TypeError('no answer'));
    request.onabort = () => reject(signal.reason);
    request.onloadend = () => signal.removeEventListener('abort', stop);
    signal.addEventListener('abort', stop);
    request.open(method, path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.send(body);
  });
}

/** @param {XMLHttpRequest} request */
function asResponse(request) {
  const headers = { 'Retry-After': request.getResponseHeader('Retry-After') ?? '' };
  return new Response(request.responseText, { status: request.status, headers });
}
