/** A diary entry on its way. */

/** @typedef {{text: string, date: string, style: string}} Entry `date` and `style` may be empty */

/**
 * @param {import('../studio.js').Studio} studio @param {string} pipeline @param {Entry} entry
 * @param {() => void} onAccepted
 */
export function submitEntry(studio, pipeline, { text, date, style }, onAccepted) {
  const parameters = { text, ...(date && { date }) };
  const asked = { parameters, ...(style && { style }) };
  const body = { ...parameters, ...(style && { style }) };
  /** @param {import('../store.js').Job} job */
  const isIts = (job) => job.parameters?.text === text && (job.parameters?.date ?? '') === date && (job.style ?? '') === style;
  return studio.submit({ pipeline, asked, isIts, onAccepted }, ({ change, ask }) => {
    change({ phase: 'sending' });
    return ask(body, (key) => studio.api.start('/diary', key, { body }));
  });
}
