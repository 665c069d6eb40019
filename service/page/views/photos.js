/** Profile photos: a photo, a style and wishes become a portrait. */

import { requestJson } from '../api.js';
import { Composer, CountedText, useForm, usePhoto } from '../components/composer.js';
import { BackgroundPicker, FormatPicker } from '../components/format-picker.js';
import { PhotoField } from '../components/photo-field.js';
import { StylePicker } from '../components/style-picker.js';
import { useDraft, usePage } from '../page.js';
import { html } from '../vendor/preact-htm.js';
import { submitPhoto } from './photos-submit.js';

/** @typedef {import('../components/style-picker.js').Style} Style */
/** @typedef {import('../studio.js').Studio} Studio */
/**
 * @typedef {{styles: Style[], formats: import('../components/format-picker.js').Format[],
 *   backgrounds: import('../components/format-picker.js').Background[]}} Assets
 */

const PIPELINE = 'profile-photo';

/** @param {import('../page.js').Page} page @param {import('../store.js').Job} job */
function title({ assets, i18n }, job) {
  const style = assets.photos.styles.find((/** @type {Style} */ { id }) => id === job.style);
  return style?.name[i18n.language] ?? job.style ?? i18n.t('job.picture');
}

/** @param {{studio: Studio, state: import('../store.js').State}} props */
function PhotoComposer({ studio, state }) {
  const { assets, config, i18n } = usePage();
  /** @type {Assets} */ const { styles, formats, backgrounds } = assets.photos;
  const form = useForm(state);
  const { photo, take, remove } = usePhoto(form);
  const [style, setStyle] = useDraft('style', () => (styles.find((each) => each.default) ?? styles[0]).id);
  const [prompt, setPrompt] = useDraft('prompt', '');
  const [format, setFormat] = useDraft('format', 'original');
  const [background, setBackground] = useDraft('background', '');
  const takesBackground = Boolean(styles.find(({ id }) => id === style)?.takesBackground);
  const limit = config.maxPromptLength;
  const needsPrompt = style === 'custom';
  const submit = () => {
    const words = prompt.trim();
    if (!photo) return form.refuse('photo_missing', 'photo-input');
    if (needsPrompt && !words) return form.refuse('prompt_missing', 'prompt');
    if (words.length > limit) return form.refuse('text_long', 'prompt', { limit: i18n.number(limit) });
    const parameters = { ...(format !== 'original' && { format }), ...(takesBackground && background && { background }) };
    return form.send(() => submitPhoto(studio, PIPELINE, photo, { style, prompt: words, parameters }, form.settle));
  };
  return html`<${Composer} state=${state} form=${form} onSubmit=${submit}>
    <${PhotoField} form=${form} photo=${photo} onTake=${take} onRemove=${remove} camera="user" />
    <${StylePicker} styles=${styles} chosen=${style} onChoose=${setStyle} />
    ${takesBackground && html`<${BackgroundPicker} form=${form} backgrounds=${backgrounds} chosen=${background} onChoose=${setBackground} />`}
    <${FormatPicker} formats=${formats} chosen=${format} onChoose=${setFormat} />
    <${CountedText}
      form=${form} label=${i18n.t(needsPrompt ? 'wishes.needed' : 'wishes.label')} testId="prompt" value=${prompt} rows="3"
      limit=${limit} placeholder=${i18n.t(needsPrompt ? 'wishes.examplePrompt' : 'wishes.example')}
      isNeeded=${needsPrompt} onInput=${setPrompt}
    />
  <//>`;
}

/** @type {import('../page.js').View} */
export const photos = {
  id: 'photos',
  pipeline: PIPELINE,
  modes: ['slider', 'pair'],
  load: () => requestJson('/styles'),
  title,
  Composer: PhotoComposer,
  isRepeatable: true,
  example: { photo: 'portrait.jpg' },
};
