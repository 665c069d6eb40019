/** The small parts of a card: its status, its bar, its time. */

import { html, useEffect, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';

/** @typedef {import('../store.js').Job} Job */

/** @param {{status: string}} props */
export function Chip({ status }) {
  const { i18n, view } = usePage();
  const words = i18n.of(view, `status.${status}`, {}, status);
  return html`<span class="chip" data-testid="job-status" data-status=${status}>${words}</span>`;
}

/** @param {{fraction?: number, label: string, words: string}} props */
export function Bar({ fraction, label, words }) {
  return html`<div class="bar" data-testid="progress">
    <progress key=${fraction === undefined} max="1" value=${fraction} aria-label=${label}></progress>
    <span>${words}</span>
  </div>`;
}

/** How long it took from its creation to its end, or has been taking, by the service's clock. @param {{job: Job, clockOffset: number}} props */
export function Duration({ job, clockOffset }) {
  const { i18n } = usePage();
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (job.terminal) return undefined;
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [job.terminal]);
  if (job.terminal && !job.updatedAt) return null;
  const until = job.terminal ? Date.parse(job.updatedAt ?? '') : now + clockOffset;
  const elapsedMs = Math.max(0, until - Date.parse(job.createdAt));
  const shownMs = job.terminal ? elapsedMs : Math.floor(elapsedMs / 1_000) * 1_000;
  return html`<span class="duration" data-testid="duration">${i18n.duration(shownMs)}</span>`;
}

/** Puts words on the clipboard, and says so. */
export function CopyButton(/** @type {{words: string, label: string, testId: string}} */ { words, label, testId }) {
  const { i18n, announcer } = usePage();
  const [isCopied, setIsCopied] = useState(false);
  // There is none where the page came over plain HTTP.
  if (!navigator.clipboard) return null;
  const copy = async () => {
    await navigator.clipboard.writeText(words);
    setIsCopied(true);
    announcer.say(i18n.t('copied'));
  };
  return html`<button type="button" class="small" data-testid=${testId} aria-label=${label} onClick=${copy}>
    ${i18n.t(isCopied ? 'copied' : 'copy')}
  </button>`;
}
