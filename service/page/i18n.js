/** The page's words in Korean and English, and numbers and times as the reader writes them. */

const STORAGE_KEY = 'darkroom.language';

/** In each language's own words, for the switch. @type {Record<string, string>} */
export const LANGUAGES = { en: 'English', ko: '한국어' };

/** @typedef {Record<string, string>} Catalogue */

/**
 * The saved language if there is one, else the first of the reader's that we speak, else English.
 * @param {string | null} saved @param {readonly string[]} wanted
 */
export function preferredLanguage(saved, wanted) {
  const known = [saved ?? '', ...wanted].map((tag) => tag.slice(0, 2).toLowerCase());
  return known.find((tag) => tag in LANGUAGES) ?? 'en';
}

/** @param {URL[]} more folders with words that are added to the page's own @returns {Promise<I18n>} */
export async function loadI18n(...more) {
  const folders = [new URL('./i18n/', import.meta.url), ...more];
  const entries = Object.keys(LANGUAGES).map(async (language) => {
    const read = async (/** @type {URL} */ folder) => (await fetch(new URL(`${language}.json`, folder))).json();
    return [language, Object.assign({}, ...(await Promise.all(folders.map(read))))];
  });
  const catalogues = Object.fromEntries(await Promise.all(entries));
  return new I18n(catalogues, preferredLanguage(localStorage.getItem(STORAGE_KEY), navigator.languages));
}

export class I18n {
  /** @type {() => void} */ onChange = () => {};

  /** @param {Record<string, Catalogue>} catalogues @param {string} language */
  constructor(catalogues, language) {
    this.catalogues = catalogues;
    this.language = language;
    document.documentElement.lang = language;
  }

  /** The language the switch leads to. */
  get other() {
    return this.language === 'ko' ? 'en' : 'ko';
  }

  /** @param {string} language */
  choose(language) {
    this.language = language;
    localStorage.setItem(STORAGE_KEY, language);
    document.documentElement.lang = language;
    this.onChange();
  }

  /**
   * The words for a key, each `{name}` replaced by its value.
   * @param {string} key @param {Record<string, string | number>} [values]
   */
  t = (key, values = {}) => {
    const words = this.catalogues[this.language][key] ?? key;
    return words.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ''));
  };

  /**
   * The words for the first key the catalogue has, else the fallback.
   * @param {string[]} keys @param {string} fallback
   */
  firstOf(keys, fallback) {
    const key = keys.find((candidate) => candidate in this.catalogues[this.language]);
    return key ? this.t(key) : fallback;
  }

  /**
   * The words that a view has of its own for a key, else everybody's, else the fallback, else the key.
   * @param {{id: string}} view @param {string} key @param {Record<string, string | number>} [values] @param {string} [fallback]
   */
  of({ id }, key, values, fallback) {
    const found = [`${id}.${key}`, key].find((candidate) => candidate in this.catalogues[this.language]);
    return found || !fallback ? this.t(found ?? key, values) : fallback;
  }

  /**
   * The words for so many, in the language's own plural form.
   * @param {string} key @param {number} count @param {Record<string, string | number>} [values]
   */
  count(key, count, values) {
    const form = new Intl.PluralRules(this.language).select(count);
    return this.t(`${key}.${form}`, { count: this.number(count), ...values });
  }

  /** @param {number} value @param {Intl.NumberFormatOptions} [options] */
  number(value, options) {
    return new Intl.NumberFormat(this.language, options).format(value);
  }

  /** @param {number} fraction 0 to 1 */
  percent(fraction) {
    return this.number(fraction, { style: 'percent', maximumFractionDigits: 0 });
  }

  /** @param {number} bytes */
  megabytes(bytes) {
    const value = bytes / 2 ** 20;
    const maximumFractionDigits = value < 10 ? 1 : 0;
    return this.number(Math.max(value, 0.1), { style: 'unit', unit: 'megabyte', maximumFractionDigits });
  }

  /** @param {number} milliseconds */
  duration(milliseconds) {
    const seconds = milliseconds / 1000;
    /** @param {number} value @param {string} unit @param {number} digits */
    const part = (value, unit, digits = 0) =>
      this.number(value, { style: 'unit', unit, unitDisplay: 'narrow', maximumFractionDigits: digits });
    if (seconds < 60) return part(seconds, 'second', seconds < 10 ? 1 : 0);
    return `${part(Math.floor(seconds / 60), 'minute')} ${part(Math.floor(seconds % 60), 'second')}`;
  }

  /** A moment in the reader's own time. @param {string} iso */
  moment(iso) {
    const options = /** @type {const} */ ({ month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit' });
    return new Intl.DateTimeFormat(this.language, options).format(new Date(iso));
  }

  /** A moment at some place, in the time of that place. @param {string} local without a zone */
  localMoment(local) {
    const options = /** @type {const} */ ({ dateStyle: 'medium', timeStyle: 'medium', timeZone: 'UTC' });
    const moment = new Date(`${local.replace(' ', 'T')}Z`);
    return Number.isNaN(moment.getTime()) ? local : new Intl.DateTimeFormat(this.language, options).format(moment);
  }

  /** A day. @param {string} day as in 2026-11-20 */
  day(day) {
    const options = /** @type {const} */ ({ dateStyle: 'full', timeZone: 'UTC' });
    const moment = new Date(`${day}T00:00:00Z`);
    return Number.isNaN(moment.getTime()) ? day : new Intl.DateTimeFormat(this.language, options).format(moment);
  }

  /** A moment within the next day, with its weekday, in the reader's own time. @param {string} iso */
  soon(iso) {
    const moment = new Date(iso);
    const say = (/** @type {Intl.DateTimeFormatOptions} */ options) => new Intl.DateTimeFormat(this.language, options).format(moment);
    const isMidnight = moment.getHours() + moment.getMinutes() === 0;
    const time = isMidnight ? this.t('when.midnight') : say({ hour: 'numeric', minute: '2-digit' });
    // Together, Korean would put the day in brackets.
    return this.t('when', { day: say({ weekday: 'long' }), time });
  }

  /**
   * What went wrong, in a sentence; the service's own are English.
   * @param {{code?: string, message?: string, field?: string, values?: Record<string, string | number>}} problem
   */
  problem({ code, message = '', field, values }) {
    const keys = field ? [`error.${code}.${field}`, `error.${code}`] : [`error.${code}`];
    const key = keys.find((candidate) => candidate in this.catalogues[this.language]);
    return this.t(key ?? (message ? 'error.other' : 'error.unknown'), { message, ...values });
  }
}
