/** A dialog with a title and a button that closes it. */

import { html, useEffect, useRef } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { Dialog, closeAround } from './dialog.js';

/** @param {{hook: string, title: string, onClose: () => void, children?: any}} props `hook` names it for tests */
export function Window({ hook, title, onClose, children }) {
  const { i18n } = usePage();
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  // After the dialog has opened, which is its own effect and comes first.
  useEffect(() => heading.current?.focus(), []);
  return html`<${Dialog} testId=${hook} labelId=${`${hook}-title`} className="window" onClose=${onClose}>
    <div class="window-content">
      <div class="window-top">
        <h2 id=${`${hook}-title`} tabindex="-1" ref=${heading}>${title}</h2>
        <button type="button" class="quiet" data-testid=${`${hook}-close`} onClick=${closeAround}>${i18n.t('dialog.close')}</button>
      </div>
      ${children}
    </div>
  <//>`;
}
