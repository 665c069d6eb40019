/** How figures are written: each kind in its unit, and what is not known as a dash. */

/** @typedef {import('../i18n.js').I18n} I18n */
/** @typedef {'count' | 'rate' | 'seconds' | 'bytes' | 'share'} Unit */

export const UNKNOWN = '–';

/** @param {I18n} i18n @param {number} seconds */
function seconds(i18n, seconds) {
  const [value, unit] = seconds > 0 && seconds < 1 ? [seconds * 1_000, 'millisecond'] : [seconds, 'second'];
  if (seconds >= 120) return i18n.duration(seconds * 1_000);
  const maximumFractionDigits = value < 10 ? 1 : 0;
  return i18n.number(value, { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits });
}

/** @param {I18n} i18n @param {number | null | undefined} value @param {Unit} unit */
export function written(i18n, value, unit) {
  if (value === null || value === undefined) return UNKNOWN;
  switch (unit) {
    case 'seconds':
      return seconds(i18n, value);
    case 'bytes':
      return i18n.megabytes(value);
    case 'share':
      return i18n.percent(value);
    case 'rate':
      return i18n.number(value, { maximumFractionDigits: value < 10 ? 1 : 0 });
    default:
      return i18n.number(value);
  }
}
