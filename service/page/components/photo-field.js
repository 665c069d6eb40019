/** Takes a photo from a drop anywhere, the clipboard, a file or the camera, and shows it at once. */

import { html, useEffect, useRef, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { faultOf } from './composer.js';

/** @typedef {(file: File) => void} Take */

/** @param {DataTransfer | null} data */
const firstFile = (data) => data?.files[0];

const TEXT_FIELDS = 'textarea, input:not([type=file], [type=radio], [type=range])';

/** The camera a phone opens: the one that looks at the person, or the one that looks away. @typedef {'user' | 'environment'} Camera */

/**
 * The photo someone pastes. Not where text is meant: in a text field, or with text beside the picture, as office programs copy it.
 * @param {ClipboardEvent} event
 */
function pastedPhoto({ target, clipboardData }) {
  if (target instanceof Element && target.matches(TEXT_FIELDS)) return undefined;
  return clipboardData?.types.includes('text/plain') ? undefined : firstFile(clipboardData);
}

/** Accept a photo dropped or pasted anywhere on the page. @param {Take} take @returns {boolean} whether one hovers above it */
function useDropAndPaste(take) {
  const [isHovering, setIsHovering] = useState(false);
  const newest = useRef(take);
  newest.current = take;
  useEffect(() => {
    const controller = new AbortController();
    const options = { signal: controller.signal };
    addEventListener('dragover', (event) => {
      if (!event.dataTransfer?.types.includes('Files')) return;
      event.preventDefault();
      setIsHovering(true);
    }, options);
    addEventListener('dragleave', (event) => event.relatedTarget ?? setIsHovering(false), options);
    addEventListener('drop', (event) => {
      setIsHovering(false);
      const file = firstFile(event.dataTransfer);
      if (!file) return;
      event.preventDefault();
      newest.current(file);
    }, options);
    addEventListener('paste', (event) => {
      const file = pastedPhoto(event);
      if (file) newest.current(file);
    }, options);
    return () => controller.abort();
  }, []);
  return isHovering;
}

/**
 * A button that is a file input: the input lies invisible on it, so keyboard, pointer and label all work.
 * @param {{label: string, testId: string, onTake: Take, capture?: string, className?: string, fault?: object}} props
 */
function FileButton({ label, testId, onTake, capture, className = '', fault = {} }) {
  const { config } = usePage();
  /** @param {any} event */
  const change = ({ target }) => {
    const [file] = target.files;
    // Emptied, so that choosing the same file again is a change too.
    target.value = '';
    if (file) onTake(file);
  };
  return html`<label class=${`file-button ${className}`}>
    <input type="file" data-testid=${testId} accept=${config.contentTypes.join(',')} capture=${capture} onChange=${change} ...${fault} />
    <span>${label}</span>
  </label>`;
}

/**
 * @param {{form: import('./composer.js').Form, photo: import('../studio.js').Photo | null, onTake: Take, onRemove: (photo: import('../studio.js').Photo) => void,
 *   camera: Camera}} props
 */
export function PhotoField({ form, photo, onTake, onRemove, camera }) {
  const { problem, sending } = form;
  const { i18n, config } = usePage();
  const isHovering = useDropAndPaste(onTake);
  const limits = i18n.t('photo.limits', { limit: i18n.megabytes(config.maxUploadBytes) });
  const hint = html`<p class="photo-hint"><span class="for-mouse">${i18n.t('photo.hint')}</span><span class="for-touch">${i18n.t('photo.hintTouch')}</span></p>`;
  return html`<fieldset>
    <legend>${i18n.t('photo.title')}</legend>
    <div class="photo-box" data-has-photo=${Boolean(photo)}>
      ${photo ? html`<${Preview} photo=${photo} sending=${sending} />` : hint}
      <div class="photo-actions">
        <${FileButton} testId="photo-input" label=${i18n.t(photo ? 'photo.replace' : 'photo.choose')} onTake=${onTake} fault=${faultOf(problem, 'photo-input')} />
        <${FileButton} testId="camera-input" label=${i18n.t('photo.camera')} onTake=${onTake} capture=${camera} className="camera" />
        ${photo && html`<button type="button" class="quiet" data-testid="photo-remove" onClick=${() => onRemove(photo)}>${i18n.t('photo.remove')}</button>`}
      </div>
      ${!photo && html`<small>${limits}</small>`}
    </div>
    ${isHovering && html`<div class="drop-veil" aria-hidden="true"><p>${i18n.t('photo.drop')}</p></div>`}
  </fieldset>`;
}

/** @param {{photo: import('../studio.js').Photo, sending?: import('../store.js').Submission}} props */
function Preview({ photo, sending }) {
  const { i18n } = usePage();
  const isUploading = sending?.phase === 'uploading' && sending.previewUrl === photo.previewUrl;
  return html`<img class="preview" data-testid="preview" src=${photo.previewUrl} alt=${i18n.t('photo.alt')} />
    <p class="preview-name"><span>${photo.file.name}</span> <small>${i18n.megabytes(photo.file.size)}</small></p>
    ${isUploading && html`<progress max="1" value=${sending.fraction} aria-label=${i18n.t('upload.label')}></progress>`}`;
}
