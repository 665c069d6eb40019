/** What an operator may do: have the task leave, and bring dead letters back; both after one question. */

import { html, useRef, useState } from '../vendor/preact-htm.js';
import { Question } from '../components/dialog.js';
import { usePage } from '../page.js';

/** @typedef {import('./orders.js').Orders} Orders */
/** @typedef {import('./orders.js').Redriven} Redriven */
/** @typedef {{words: string, isProblem?: boolean}} Said */

const OUTCOMES = ['broughtBack', 'sentAgain', 'over', 'notOurs', 'notMoved'];

/**
 * One order at a time, and what was said of the last.
 * @returns {{said: Said | null, isBusy: boolean, order: (act: () => Promise<string>) => Promise<void>}}
 */
export function useOrder() {
  const { i18n } = usePage();
  const [said, setSaid] = useState(/** @type {Said | null} */ (null));
  const [isBusy, setIsBusy] = useState(false);
  const isActing = useRef(false);
  const order = async (/** @type {() => Promise<string>} */ act) => {
    if (isActing.current) return;
    isActing.current = true;
    setIsBusy(true);
    setSaid(null);
    try {
      setSaid({ words: await act() });
    } catch (error) {
      const failed = /** @type {any} */ (error);
      const words = i18n.firstOf([`ops.error.${failed.code}`], i18n.problem(failed));
      setSaid({ words, isProblem: true });
    } finally {
      isActing.current = false;
      setIsBusy(false);
    }
  };
  return { said, isBusy, order };
}

/** The regions stay when they are empty: news is heard only where it was expected. @param {{said: Said | null, testId: string}} props */
export function Answer({ said, testId }) {
  return html`<p class="answer" role="status" data-testid=${testId}>${said && !said.isProblem && said.words}</p>
    <p class=${said?.isProblem ? 'problem' : 'unseen'} role="alert" data-testid=${`${testId}-problem`}>${said?.isProblem && said.words}</p>`;
}

/** @param {import('../i18n.js').I18n} i18n @param {Redriven} done */
function accountOf(i18n, { letters, dryRun, complete }) {
  const parts = OUTCOMES.filter((outcome) => letters[outcome] > 0).map((outcome) => i18n.count(`ops.redrive.${outcome}`, letters[outcome]));
  if (parts.length === 0) return i18n.t('ops.redrive.none');
  const words = `${i18n.t(dryRun ? 'ops.redrive.would' : 'ops.redrive.done')} ${parts.join(i18n.t('ops.redrive.and'))}.`;
  return complete ? words : `${words} ${i18n.t('ops.redrive.more')}`;
}

/** @param {{orders: Orders}} props */
export function RedrivePanel({ orders }) {
  const { i18n } = usePage();
  const { said, isBusy, order } = useOrder();
  const [isAsking, setIsAsking] = useState(false);
  const walk = (/** @type {boolean} */ dryRun) => order(async () => accountOf(i18n, await orders.redrive(dryRun)));
  return html`<section class="panel">
    <h3>${i18n.t('ops.redrive')}</h3>
    <p class="note">${i18n.t('ops.redrive.note')}</p>
    <div class="actions">
      <button type="button" data-testid="redrive-look" aria-disabled=${isBusy} onClick=${() => walk(true)}>${i18n.t('ops.redrive.look')}</button>
      <button type="button" data-testid="redrive" aria-disabled=${isBusy} onClick=${() => setIsAsking(true)}>${i18n.t('ops.redrive.do')}</button>
    </div>
    <${Answer} said=${isBusy ? { words: i18n.t('ops.busy') } : said} testId="redrive-answer" />
    ${isAsking &&
    html`<${Question}
      id="redrive" words=${i18n.t('ops.redrive.question')} keep=${i18n.t('ops.cancel')} confirm=${i18n.t('ops.redrive.do')}
      onConfirm=${() => walk(false)} onClose=${() => setIsAsking(false)}
    />`}
  </section>`;
}

/** @param {{orders: Orders, task: import('./feed.js').Task}} props */
export function DrainPanel({ orders, task }) {
  const { i18n } = usePage();
  const { said, isBusy, order } = useOrder();
  const [isAsking, setIsAsking] = useState(false);
  const question = i18n.t(task.embedded ? 'ops.drain.questionEmbedded' : 'ops.drain.question', { task: task.name });
  const drain = () =>
    order(async () => {
      await orders.drain(task.name);
      return i18n.t('ops.drain.done', { task: task.name });
    });
  return html`<section class="panel">
    <h3>${i18n.t('ops.drain')}</h3>
    <p class="note">${i18n.t('ops.drain.note')}</p>
    <div class="actions">
      <button type="button" data-testid="drain" aria-disabled=${isBusy || task.state !== 'ready'} onClick=${() => task.state === 'ready' && setIsAsking(true)}>
        ${i18n.t('ops.drain.do')}
      </button>
    </div>
    <${Answer} said=${said} testId="drain-answer" />
    ${isAsking &&
    html`<${Question}
      id="drain" words=${question} keep=${i18n.t('ops.cancel')} confirm=${i18n.t('ops.drain.do')}
      onConfirm=${drain} onClose=${() => setIsAsking(false)}
    />`}
  </section>`;
}
