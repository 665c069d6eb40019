/** Parking reports: a photo of a parked car becomes a sighting, and two sightings a report. */

import { Composer, useForm, usePhoto } from '../components/composer.js';
import { PhotoField } from '../components/photo-field.js';
import { useDraft, usePage } from '../page.js';
import { html } from '../vendor/preact-htm.js';
import { NOTHING_GIVEN, PlaceAndTime } from './parking-given.js';
import { ParkingNotes, ParkingSheet } from './parking-card.js';
import { Reports, verdictOf } from './parking-reports.js';
import { factsOf, submitSighting } from './parking-submit.js';

const PIPELINE = 'parking-report';

/** @param {{studio: import('../studio.js').Studio, state: import('../store.js').State}} props */
function ParkingComposer({ studio, state }) {
  const { i18n } = usePage();
  const form = useForm(state);
  const { photo, take, remove } = usePhoto(form);
  const [given, setGiven, newestGiven] = useDraft('given', NOTHING_GIVEN);
  const submit = () => {
    if (!photo) return form.refuse('photo_missing', 'photo-input');
    const { facts, problem, at } = factsOf(given, Date.now() + state.clockOffset);
    if (!facts) return form.refuse(problem, at);
    const clear = () => {
      form.settle();
      // The next photo is of another place and time, or of the same car later; this one is on its way.
      remove(photo);
      if (newestGiven() === given) setGiven(NOTHING_GIVEN);
    };
    return form.send(() => submitSighting(studio, PIPELINE, photo, facts, clear));
  };
  return html`<${Composer} state=${state} form=${form} onSubmit=${submit}>
    <p class="introduction">${i18n.t('parking.introduction')}</p>
    <${PhotoField} form=${form} photo=${photo} onTake=${take} onRemove=${remove} camera="environment" />
    <${PlaceAndTime} form=${form} given=${given} onChange=${setGiven} />
  <//>`;
}

/** @param {import('../page.js').Page} page @param {import('../store.js').Job} job */
const title = ({ i18n }, job) => job.result?.plate ?? i18n.t('parking.job');

/** Say what has become of a report, whichever view is shown. @param {import('../page.js').Page} page */
function follow({ studio, announcer, i18n }) {
  return studio.client.on('report', (report) => {
    const words = i18n.t('report.announce', { plate: report.plateString, verdict: verdictOf(i18n, report) });
    announcer.say(words, report.reportId);
  });
}

/** @type {import('../page.js').View} */
export const parking = {
  id: 'parking',
  pipeline: PIPELINE,
  modes: [],
  title,
  follow,
  Composer: ParkingComposer,
  Sheet: ParkingSheet,
  Notes: ParkingNotes,
  Below: Reports,
  example: { photo: 'car.jpg' },
};
