/** The notes of `toasts.js` on the page. */

import { html, useEffect, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';

/** The region stays when it is empty: news is heard only where it was expected. @param {{toasts: import('../toasts.js').Toasts}} props */
export function ToastRegion({ toasts }) {
  const [shown, setShown] = useState(toasts.shown);
  useEffect(() => toasts.subscribe(() => setShown(toasts.shown)), [toasts]);
  const hold = () => toasts.hold(true);
  /** @param {any} event */
  const release = ({ currentTarget, relatedTarget }) => {
    const isStillThere = currentTarget.contains(relatedTarget) || currentTarget.matches(':hover');
    if (!isStillThere) toasts.hold(false);
  };
  return html`<div
    class="toasts" role="status" data-testid="toasts" onMouseEnter=${hold} onFocusIn=${hold} onMouseLeave=${() => toasts.hold(false)}
    onFocusOut=${release}
  >
    ${shown.map((toast) => html`<${ToastNote} key=${toast.id} toast=${toast} toasts=${toasts} />`)}
  </div>`;
}

/** @param {{toast: import('../toasts.js').Toast, toasts: import('../toasts.js').Toasts}} props */
function ToastNote({ toast: { id, words, action }, toasts }) {
  const { i18n } = usePage();
  return html`<div class="toast" data-testid="toast">
    <p>${words}</p>
    ${action && html`<button type="button" class="small" data-testid="toast-action" onClick=${() => toasts.act(id)}>${action.label}</button>`}
    <button type="button" class="small quiet" data-testid="toast-dismiss" aria-label=${i18n.t('toast.dismiss')} onClick=${() => toasts.dismiss(id)}>
      <span aria-hidden="true">✕</span>
    </button>
  </div>`;
}
