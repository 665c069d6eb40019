/** A photo's way to storage: checked here, then sent straight to S3 under a signed link. */

/** @typedef {import('./api.js').Api} Api */
/** @typedef {{maxUploadBytes: number, contentTypes: string[]}} Limits */
/** @typedef {{uploadUrl: string, uploadHeaders: Record<string, string>}} Link */

const STALL_MS = 30_000;
const MOST_LINKS = 3;
const STORED_ALREADY = 412;

/** @type {Record<string, string[]>} */
const EXTENSIONS = { 'image/jpeg': ['.jpg', '.jpeg'], 'image/png': ['.png'], 'image/webp': ['.webp'] };

/** What a photo may measure: the service's own limits, in pixels. A JPEG is decoded at a fraction of its size, so it may have more. */
export const LEAST_SIDE = 32;
export const MOST_SIDE = 16_000;
/** @type {Record<string, number>} */
export const MOST_PIXELS = { 'image/jpeg': 50_000_000, 'image/png': 24_000_000, 'image/webp': 24_000_000 };

const BEGINNING_BYTES = 12;
/** How files of each type begin; a name proves nothing. @type {Record<string, RegExp>} */
const BEGINNINGS = { 'image/jpeg': /^\xff\xd8\xff/, 'image/png': /^\x89PNG\r\n\x1a\n/, 'image/webp': /^RIFF[^]{4}WEBP/ };

/** Storage did not take the photo; `code` is `upload_refused`, `upload_failed` or `upload_stalled`. */
export class UploadError extends Error {
  /** @param {string} code */
  constructor(code) {
    super(code);
    this.code = code;
  }
}

/**
 * Why a file cannot be taken, as an error code, or null when it can.
 * @param {File} file @param {Limits} limits @returns {string | null}
 */
export function photoProblem(file, { contentTypes, maxUploadBytes }) {
  if (!contentTypes.includes(file.type)) return 'photo_type';
  if (file.size === 0) return 'photo_empty';
  return file.size > maxUploadBytes ? 'photo_size' : null;
}

/**
 * Why a file that may be taken by its name and size is no photo for the service, as an error code, or null: read from the file itself.
 * @param {File} file @returns {Promise<string | null>}
 */
export async function pictureProblem(file) {
  // A file may be gone since it was chosen.
  const beginning = new Uint8Array(await file.slice(0, BEGINNING_BYTES).arrayBuffer().catch(() => new ArrayBuffer(0)));
  const type = Object.keys(BEGINNINGS).find((each) => BEGINNINGS[each].test(String.fromCharCode(...beginning)));
  const size = type && (await sizeOf(file));
  if (!size) return 'photo_unreadable';
  const [shorter, longer] = [Math.min(...size), Math.max(...size)];
  const fits = shorter >= LEAST_SIDE && longer <= MOST_SIDE && shorter * longer <= MOST_PIXELS[type];
  return fits ? null : 'photo_pixels';
}

/** Width and height in pixels, or null where the browser cannot read the file. @param {File} file @returns {Promise<[number, number] | null>} */
async function sizeOf(file) {
  const image = new Image();
  const url = URL.createObjectURL(file);
  try {
    // Its header is enough: to decode it would cost a phone more memory than it may have.
    await new Promise((resolve, reject) => Object.assign(image, { onload: resolve, onerror: reject, src: url }));
    return [image.naturalWidth, image.naturalHeight];
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** The file's name with an extension that fits its type: the service refuses any other. @param {File} file */
export function uploadName(file) {
  const fitting = EXTENSIONS[file.type] ?? [''];
  const name = file.name.toLowerCase();
  return fitting.some((extension) => name.endsWith(extension)) ? file.name : `photo${fitting[0]}`;
}

/**
 * Send a photo and return its file key. What is cut off is tried under the same link once more, then under fresh ones: a photo
 * that was stored, though nobody was told, should not be stored twice. `more` is said with each request for a link.
 * @param {{api: Api, file: File, more?: object, onProgress: (fraction: number) => void, signal: AbortSignal}} options
 * @throws {UploadError} or the signal's reason, or an ApiError from asking for the link
 */
export async function uploadPhoto({ api, file, more, onProgress, signal }) {
  const photo = { fileName: uploadName(file), contentType: file.type, fileSize: file.size, ...more };
  for (let links = 1; ; links += 1) {
    const link = await api.uploadLink(photo);
    try {
      await putOrFindStored(link, file, onProgress, signal);
      return link.fileKey;
    } catch (error) {
      if (signal.aborted || links === MOST_LINKS) throw error;
    }
  }
}

/**
 * @param {Link} link @param {File} file @param {(fraction: number) => void} onProgress @param {AbortSignal} signal
 */
async function putOrFindStored(link, file, onProgress, signal) {
  try {
    if ((await put(link, file, onProgress, signal)) < 300) return;
  } catch (error) {
    if (signal.aborted || !(error instanceof UploadError)) throw error;
    const status = await put(link, file, onProgress, signal);
    // A link stores one photo: where there is one, it is this.
    if (status < 300 || status === STORED_ALREADY) return;
  }
  throw new UploadError('upload_refused');
}

/**
 * @param {Link} link @param {File} file @param {(fraction: number) => void} onProgress @param {AbortSignal} signal
 * @returns {Promise<number>} the status of storage's answer @throws {UploadError} when none came
 */
function put(link, file, onProgress, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    // fetch() tells nothing about the bytes sent; XMLHttpRequest does.
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    const stalled = stallClock(() => {
      reject(new UploadError('upload_stalled'));
      stop();
    });
    request.upload.onprogress = (event) => {
      stalled.restart();
      onProgress(event.loaded / event.total);
    };
    request.onload = () => resolve(request.status);
    request.onerror = () => reject(new UploadError('upload_failed'));
    request.onabort = () => reject(signal.reason);
    request.onloadend = () => {
      stalled.cancel();
      signal.removeEventListener('abort', stop);
    };
    signal.addEventListener('abort', stop);
    request.open('PUT', link.uploadUrl);
    for (const [name, value] of Object.entries(link.uploadHeaders)) request.setRequestHeader(name, value);
    request.send(file);
  });
}

/** A slow upload is fine, a silent one is not. @param {() => void} onStall */
function stallClock(onStall) {
  let timer = setTimeout(onStall, STALL_MS);
  return {
    restart() {
      clearTimeout(timer);
      timer = setTimeout(onStall, STALL_MS);
    },
    cancel: () => clearTimeout(timer),
  };
}
