/** Dialogs: the browser keeps the focus inside, closes them on Escape, and gives the focus back. */

import { html, useEffect, useRef } from '../vendor/preact-htm.js';

/**
 * @param {{testId: string, labelId: string, className?: string, onClose: () => void, onKeyDown?: (event: KeyboardEvent) => void,
 *   children?: any}} props it is open as long as it is there
 */
export function Dialog({ testId, labelId, className, onClose, onKeyDown, children }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => dialog.current?.showModal(), []);
  /** A press beside it. @param {MouseEvent} event */
  const closeBeside = (event) => event.target === dialog.current && dialog.current?.close();
  return html`<dialog
    class=${className} ref=${dialog} data-testid=${testId} aria-labelledby=${labelId} onClose=${onClose} onKeyDown=${onKeyDown}
    onClick=${closeBeside}
  >
    ${children}
  </dialog>`;
}

/** Close the dialog that this is in. @param {Event} event */
export const closeAround = ({ currentTarget }) => /** @type {HTMLElement} */ (currentTarget).closest('dialog')?.close();

/**
 * Asks once.
 * @param {{id: string, words: string, keep: string, confirm: string, onConfirm: () => void, onClose: () => void}} props `keep` and
 *   `confirm` are the words on its buttons; `id` names it for tests
 */
export function Question({ id, words, keep, confirm, onConfirm, onClose }) {
  /** @param {Event} event */
  const agree = (event) => {
    closeAround(event);
    onConfirm();
  };
  return html`<${Dialog} testId=${`${id}-dialog`} labelId=${`${id}-question`} className="question" onClose=${onClose}>
    <p id=${`${id}-question`}>${words}</p>
    <div class="actions">
      <button type="button" data-testid=${`${id}-keep`} onClick=${closeAround}>${keep}</button>
      <button type="button" class="primary" data-testid=${`${id}-confirm`} onClick=${agree}>${confirm}</button>
    </div>
  <//>`;
}
