/** What is behind a job, for who wants to know: the model, the time, what was asked, and the id to ask us about: the log has all of it under that. */

import { html } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { CopyButton } from './card-parts.js';

/** @typedef {import('../store.js').Job} Job */

/** Name and words of each fact that is known. @param {import('../i18n.js').I18n} i18n @param {Job} job @returns {[string, string][]} */
function factsOf(i18n, { metadata, processingTime, result, parameters, jobId }) {
  const { width, height } = result ?? {};
  /** @type {[string, string | undefined][]} */
  const facts = [
    ['model', metadata?.modelName],
    ['time', processingTime === undefined ? undefined : i18n.duration(processingTime)],
    ['size', width && height ? i18n.t('details.pixels', { width: i18n.number(width), height: i18n.number(height) }) : undefined],
    ['format', parameters?.format && i18n.firstOf([`format.${parameters.format}`], parameters.format)],
    ['background', parameters?.background && i18n.firstOf([`background.${parameters.background}`], parameters.background)],
    ['job', jobId],
  ];
  return /** @type {[string, string][]} */ (facts.filter(([, words]) => words));
}

/** @param {{job: Job, name: string, children?: any}} props `children` come under the facts */
export function Details({ job, name, children }) {
  const { i18n } = usePage();
  return html`<details class="details" data-testid="details">
    <summary aria-label=${i18n.t('details.label', { name })}>${i18n.t('details')}</summary>
    <dl>
      ${factsOf(i18n, job).map(
        ([fact, words]) => html`<div key=${fact} data-fact=${fact}>
          <dt>${i18n.t(`details.${fact}`)}</dt>
          <dd>${fact === 'job' ? html`<code>${words}</code>` : words}</dd>
        </div>`,
      )}
    </dl>
    <div class="actions">
      <${CopyButton} words=${job.jobId} label=${i18n.t('details.copy', { name })} testId="copy-id" />
      ${children}
    </div>
  </details>`;
}
