/** Cancels all of a view's unfinished jobs, after one question, and says what that came to. */

import { html, useRef, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { Question } from './dialog.js';
import { goOnAt } from './focus.js';

/** @param {{studio: import('../studio.js').Studio, jobs: import('../store.js').Job[]}} props */
export function CancelAll({ studio, jobs }) {
  const { i18n } = usePage();
  const [isAsking, setIsAsking] = useState(false);
  const isBusy = useRef(false);
  const running = jobs.filter(({ terminal }) => !terminal);
  const cancel = async () => {
    if (isBusy.current) return;
    isBusy.current = true;
    const { canceled, tooLate, failed } = await studio.cancelAll(running.map(({ jobId }) => jobId));
    isBusy.current = false;
    const words = [
      i18n.count('cancelAll.done', canceled),
      tooLate > 0 && i18n.count('cancelAll.tooLate', tooLate),
      failed > 0 && i18n.count('cancelAll.failed', failed),
    ];
    studio.toasts.show({ words: words.filter(Boolean).join(' ') });
    goOnAt('gallery-title');
  };
  // One alone has a button of its own.
  if (running.length < 2 && !isAsking) return null;
  return html`<button type="button" class="small cancel-all" data-testid="cancel-all" onClick=${() => setIsAsking(true)}>
      ${i18n.t('cancelAll')}
    </button>
    ${isAsking &&
    html`<${Question}
      id="cancel-all" words=${i18n.count('cancelAll.question', running.length)} keep=${i18n.t('cancelAll.keep')}
      confirm=${i18n.t('cancelAll')} onConfirm=${cancel} onClose=${() => setIsAsking(false)}
    />`}`;
}
