/** Where and when: told by the photo, or, as phones leave that out of what they upload, by the person. */

import { usePage } from '../page.js';
import { html, useState } from '../vendor/preact-htm.js';

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
  if (!details) return;
  details.open = true;
  details.querySelector('input')?.focus();
}

/** @param {{given: Given, onChange: (given: Given) => void}} props */
export function PlaceAndTime({ given, onChange }) {
  const { i18n } = usePage();
  /** @param {keyof Given} name @param {string} type */
  const field = (name, type) => html`<label class="field">
    <span>${i18n.t(`parking.${name}`)}</span>
    <input
      type=${type} step=${type === 'text' ? undefined : 1} inputmode=${type === 'text' ? 'text' : undefined} autocomplete="off"
      data-testid=${name} value=${given[name]} onInput=${(/** @type {any} */ event) => onChange({ ...given, [name]: event.target.value })}
    />
  </label>`;
  return html`<details class="given" id=${GIVEN_ID} data-testid="given">
    <summary>${i18n.t('parking.given')}</summary>
    <fieldset>
      <legend class="unseen">${i18n.t('parking.given')}</legend>
      <p class="introduction">${i18n.t('parking.givenHint')}</p>
      <div class="pair">${field('latitude', 'text')} ${field('longitude', 'text')}</div>
      <${Locate} onFound=${(/** @type {{latitude: string, longitude: string}} */ place) => onChange({ ...given, ...place })} />
      ${field('time', 'datetime-local')}
    </fieldset>
  </details>`;
}

/** @returns {Promise<GeolocationPosition>} */
const locate = () => new Promise((resolve, reject) => navigator.geolocation.getCurrentPosition(resolve, reject, LOCATE));

/** Asks for the position when it is pressed, never before. */
function Locate(/** @type {{onFound: (place: {latitude: string, longitude: string}) => void}} */ { onFound }) {
  const { i18n, announcer } = usePage();
  const [state, setState] = useState(/** @type {'' | 'busy' | 'denied' | 'unknown'} */ (''));
  const find = async () => {
    if (state === 'busy') return;
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
