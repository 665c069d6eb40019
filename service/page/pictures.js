/** The finished pictures as files: saved, copied, shared, and taken as a photo again. */

/** @typedef {import('./store.js').Job} Job */

const EXTENSION = /\.(?:png|jpe?g|webp)$/;

/** Whether this browser can put a picture on the clipboard; it cannot where the page came over plain HTTP. */
export const canCopy = () => Boolean(navigator.clipboard?.write) && 'ClipboardItem' in globalThis;

/** Whether this device has a way to hand pictures to other programs. */
export function canShare() {
  const file = new File([], 'picture.png', { type: 'image/png' });
  return Boolean(navigator.canShare?.({ files: [file] }));
}

/** @param {Job} job */
export function fileName({ jobId, style, pipeline = 'picture', outputImageUrl = '' }) {
  const [extension] = new URL(outputImageUrl, location.href).pathname.match(EXTENSION) ?? ['.png'];
  // A style may be in the person's own words.
  const name = style && /^\w+$/.test(style) ? style : pipeline;
  return `darkroom-${name}-${jobId.slice(-8)}${extension}`;
}

/** @param {import('./api.js').Api} api @param {Job} job @returns {Promise<File>} */
export async function fetchPicture(api, job) {
  const { downloadUrl } = await api.downloadLink(job.jobId);
  // The cache may hold an answer without CORS headers.
  const response = await fetch(downloadUrl, { cache: 'no-store' });
  if (!response.ok) throw new Error(`storage answered ${response.status}`);
  const blob = await response.blob();
  return new File([blob], fileName(job), { type: blob.type });
}

/** Save as a file. From another origin a link cannot name it; a blob can. @param {File} file */
export function save(file) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Clipboards take PNG only. @param {Blob} blob @returns {Promise<Blob>} */
async function asPng(blob) {
  if (blob.type === 'image/png') return blob;
  const bitmap = await createImageBitmap(blob);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext('2d')?.drawImage(bitmap, 0, 0);
  return canvas.convertToBlob({ type: 'image/png' });
}

/** Put it on the clipboard: the promise is handed over, since some browsers allow this only right after a press. @param {Promise<File>} file */
export function copy(file) {
  return navigator.clipboard.write([new ClipboardItem({ 'image/png': file.then(asPng) })]);
}

/** Hand it to another program; to change one's mind there is no error. @param {File} file */
export function share(file) {
  return navigator.share({ files: [file] }).catch((error) => {
    if (error.name !== 'AbortError') throw error;
  });
}
