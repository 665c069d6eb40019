/** Where and when: told by the photo, or, as phones leave that out of what they upload, by the person. */

import { faultOf } from '../components/composer.js';
import { goToField } from '../components/focus.js';
import { usePage } from '../page.js';
import { html, useEffect, useState } from '../vendor/preact-htm.js';

/** @typedef {import('./parking-submit.js').Given} Given */

/** @type {Given} */
export const NOTHING_GIVEN = { latitude: '', longitude: '', time: '' };

const GIVEN_ID = 'place-and-time';
const DIGITS = 6;
const LOCATE = { enableHighAccuracy: true, timeout: 20_000 };
const DENIED = 1;

/** Go to the fields, from where they are found missing. */
export function openPlaceAndTime() {
  const details = /** @type {HTMLDetailsElement | null} */ (document.getElementById(GIVEN_ID));
  goToField(details?.querySelector('input'));
}

/** @param {{form: import('../components/composer.js').Form, given: Given, onChange: (given: Given) => void}} props */
export function PlaceAndTime({ form, given, onChange }) {
  const { i18n } = usePage();
  /** @param {keyof Given} name @param {any} event */
  const input = (name, { target }) => {
    form.touch(name);
    onChange({ ...given, [name]: target.value });
  };
  /** @param {keyof Given} name @param {string} type */
  const field = (name, type) => html`<label class="field">
    <span>${i18n.t(`parking.${name}`)}</span>
    <input
      type=${type} step=${type === 'text' ? undefined : 1} inputmode=${type === 'text' ? 'text' : undefined} autocomplete="off"
      data-testid=${name} value=${given[name]} onInput=${(/** @type {any} */ event) => input(name, event)} ...${faultOf(form.problem, name)}
    />
  </label>`;
  return html`<details class="given" id=${GIVEN_ID} data-testid="given">
    <summary>${i18n.t('parking.given')}</summary>
    <fieldset>
      <legend class="unseen">${i18n.t('parking.given')}</legend>
      <p class="introduction">${i18n.t('parking.givenHint')}</p>
      <div class="pair">${field('latitude', 'text')} ${field('longitude', 'text')}</div>
      <${Locate} form=${form} onFound=${(/** @type {{latitude: string, longitude: string}} */ place) => onChange({ ...given, ...place })} />
      ${field('time', 'datetime-local')}
    </fieldset>
  </details>`;
}

/** @returns {Promise<GeolocationPosition>} */
const locate = () => new Promise((resolve, reject) => navigator.geolocation.getCurrentPosition(resolve, reject, LOCATE));

/** Asks for the position when it is pressed, never before. */
function Locate(
  /** @type {{form: import('../components/composer.js').Form, onFound: (place: {latitude: string, longitude: string}) => void}} */
  { form, onFound },
) {
  const { i18n, announcer } = usePage();
  const [state, setState] = useState(/** @type {'' | 'busy' | 'denied' | 'unknown'} */ (''));
  // One alarm at a time: the newest.
  useEffect(() => {
    if (form.problem) setState((/** @type {string} */ now) => (now === 'busy' ? now : ''));
  }, [form.problem]);
  const find = async () => {
    if (state === 'busy') return;
    form.setProblem(null);
    setState('busy');
    try {
      const { coords } = await locate();
      onFound({ latitude: coords.latitude.toFixed(DIGITS), longitude: coords.longitude.toFixed(DIGITS) });
      announcer.say(i18n.t('parking.located'));
      setState('');
    } catch (error) {
      setState(/** @type {GeolocationPositionError} */ (error).code === DENIED ? 'denied' : 'unknown');
    }
  };
  if (!navigator.geolocation) return null;
  return html`<div>
    <button type="button" class="small" data-testid="locate" onClick=${find}>
      ${i18n.t(state === 'busy' ? 'parking.locating' : 'parking.locate')}
    </button>
    <p role="alert" data-testid="locate-problem">
      ${(state === 'denied' || state === 'unknown') && html`<small>${i18n.t(`parking.position.${state}`)}</small>`}
    </p>
  </div>`;
}
