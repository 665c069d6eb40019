/** The diary: an entry's words become its mood, its keywords and a picture. */

import { Composer, CountedText, faultOf, useForm } from '../components/composer.js';
import { useKeptDraft, usePage } from '../page.js';
import { html } from '../vendor/preact-htm.js';
import { DiaryNotes, DiarySheet } from './diary-card.js';
import { submitEntry } from './diary-submit.js';

const PIPELINE = 'diary';
const USUAL_MAX_CHARACTERS = 5_000;
const MAX_STYLE_CHARACTERS = 100;
const OFFERED_STYLES = ['watercolour', 'pencil', 'oil', 'pastel', 'storybook'];

/** The person's own day. */
function today() {
  const now = new Date();
  return new Date(now.getTime() - now.getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
}

/** @param {{studio: import('../studio.js').Studio, state: import('../store.js').State}} props */
function DiaryComposer({ studio, state }) {
  const { i18n, config } = usePage();
  const form = useForm(state);
  const limit = config.maxDiaryCharacters ?? USUAL_MAX_CHARACTERS;
  const [text, setText, newestText] = useKeptDraft('text', '');
  const [chosenDate, setDate] = useKeptDraft('date', /** @type {string | null} */ (null));
  const [style, setStyle] = useKeptDraft('style', '');
  const date = chosenDate ?? today();
  const pickDate = (/** @type {any} */ event) => {
    form.touch('entry-date');
    setDate(event.target.value);
  };
  const submit = () => {
    const words = text.trim();
    if (!words) return form.refuse('text_missing', 'entry');
    if (words.length > limit) return form.refuse('text_long', 'entry', { limit: i18n.number(limit) });
    if (style.trim().length > MAX_STYLE_CHARACTERS) return form.refuse('text_long', 'entry-style', { limit: i18n.number(MAX_STYLE_CHARACTERS) });
    const clear = () => {
      form.settle();
      // What has been written meanwhile is another entry.
      if (newestText().trim() !== words) return;
      [setText, setStyle].forEach((set) => set(''));
      setDate(null);
    };
    return form.send(() => submitEntry(studio, PIPELINE, { text: words, date, style: style.trim() }, clear));
  };
  return html`<${Composer} state=${state} form=${form} onSubmit=${submit}>
    <${CountedText}
      form=${form} label=${i18n.t('diary.entry')} testId="entry" value=${text} rows="9" limit=${limit}
      placeholder=${i18n.t('diary.example')} isNeeded=${true} onInput=${setText}
    />
    <label class="field">
      <span>${i18n.t('diary.date')}</span>
      <input
        type="date" data-testid="entry-date" value=${date} onInput=${pickDate}
        ...${faultOf(form.problem, 'entry-date')}
      />
    </label>
    <${StyleField} form=${form} style=${style} onChange=${setStyle} />
  <//>`;
}

/**
 * A style in the person's own words, or one of a few.
 * @param {{form: import('../components/composer.js').Form, style: string, onChange: (style: string) => void}} props
 */
function StyleField({ form, style, onChange }) {
  const { i18n } = usePage();
  const isTooLong = style.trim().length > MAX_STYLE_CHARACTERS;
  const fault = isTooLong ? { 'aria-invalid': 'true' } : faultOf(form.problem, 'entry-style');
  const input = (/** @type {any} */ event) => {
    form.touch('entry-style');
    onChange(event.target.value);
  };
  return html`<fieldset class="diary-style">
    <legend>${i18n.t('diary.style')}</legend>
    <div class="suggestions" role="group" aria-label=${i18n.t('diary.styles')}>
      ${OFFERED_STYLES.map((each) => {
        const words = i18n.t(`diary.style.${each}`);
        const isChosen = words === style;
        return html`<button
          type="button" class="small" key=${each} data-testid=${`style-${each}`} aria-pressed=${String(isChosen)}
          onClick=${() => onChange(isChosen ? '' : words)}
        >
          ${words}
        </button>`;
      })}
    </div>
    <label class="field">
      <span class="unseen">${i18n.t('diary.styleWords')}</span>
      <input
        type="text" data-testid="entry-style" placeholder=${i18n.t('diary.styleWords')} value=${style} aria-describedby="entry-style-count"
        onInput=${input} ...${fault}
      />
      <small id="entry-style-count" data-testid="entry-style-count" class=${isTooLong ? 'count near' : 'count'}>
        ${i18n.t('text.count', { used: i18n.number(style.trim().length), limit: i18n.number(MAX_STYLE_CHARACTERS) })}
      </small>
    </label>
  </fieldset>`;
}

/** @param {import('../page.js').Page} page @param {import('../store.js').Job} job */
const title = ({ i18n }, { parameters }) => (parameters?.date ? i18n.day(parameters.date) : i18n.t('diary.job'));

/** @type {import('../page.js').View} */
export const diary = {
  id: 'diary',
  pipeline: PIPELINE,
  modes: [],
  title,
  Composer: DiaryComposer,
  Sheet: DiarySheet,
  Notes: DiaryNotes,
  example: { draft: 'text', words: 'diary.exampleEntry' },
};
