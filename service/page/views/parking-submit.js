/** A sighting's way: to storage, with what the person says of place and time; its job begins there by itself. */

import { uploadPhoto } from '../upload.js';

/** @typedef {{latitude: string, longitude: string, time: string}} Given as typed; empty where the photo is to tell */
/** @typedef {{latitude?: number, longitude?: number, captureTime?: string}} Facts */

const STORAGE_KEY = 'darkroom.device';
const FARTHEST_EAST_MS = 14 * 3_600_000;

/** This browser's name towards the service: one for all its photos, without a word on whose it is. */
function deviceId() {
  const known = localStorage.getItem(STORAGE_KEY);
  if (known) return known;
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  const name = `browser-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
  localStorage.setItem(STORAGE_KEY, name);
  return name;
}

/** Degrees as typed, with a point or a comma. @param {string} words @param {number} most @returns {number} not a number where they are none */
function degrees(words, most) {
  const value = words === '' ? Number.NaN : Number(words.replace(',', '.'));
  return Math.abs(value) <= most ? value : Number.NaN;
}

/** Whether no clock on Earth shows this yet. @param {string} local without a zone @param {number} now in milliseconds */
function liesAhead(local, now) {
  return Date.parse(`${local}Z`) > now + FARTHEST_EAST_MS;
}

/**
 * What the person says, as the service takes it, or the code of what is wrong with it.
 * @param {Given} given @param {number} now in milliseconds, by the service's clock
 * @returns {{facts: Facts, problem?: undefined, at?: undefined} | {facts?: undefined, problem: string, at: keyof Given}}
 *   `at` is the field at fault
 */
export function factsOf({ latitude, longitude, time }, now) {
  // A full minute comes without its seconds.
  const captureTime = time && (time.length === 16 ? `${time}:00` : time.slice(0, 19));
  /** @type {Facts} */
  const facts = captureTime ? { captureTime } : {};
  if (captureTime && liesAhead(captureTime, now)) return { problem: 'time_future', at: 'time' };
  const [north, east] = [latitude.trim(), longitude.trim()];
  if (!north && !east) return { facts };
  if (!north) return { problem: 'latitude_missing', at: 'latitude' };
  if (!east) return { problem: 'longitude_missing', at: 'longitude' };
  const place = { latitude: degrees(north, 90), longitude: degrees(east, 180) };
  if (Number.isNaN(place.latitude)) return { problem: 'latitude', at: 'latitude' };
  if (Number.isNaN(place.longitude)) return { problem: 'longitude', at: 'longitude' };
  return { facts: { ...facts, ...place } };
}

/**
 * @param {import('../studio.js').Studio} studio @param {string} pipeline @param {import('../studio.js').Photo} photo
 * @param {Facts} facts @param {() => void} onAccepted @returns {Promise<void>}
 */
export function submitSighting(studio, pipeline, photo, facts, onAccepted) {
  const { file, previewUrl } = photo;
  let fileKey = '';
  /** @param {import('../store.js').Job} job */
  const isIts = (job) => Boolean(fileKey && job.inputImageUrl?.endsWith(fileKey));
  return studio.submit({ pipeline, asked: {}, previewUrl, isIts, onAccepted }, async ({ signal, change }) => {
    const onProgress = (/** @type {number} */ fraction) => change({ fraction });
    const more = { pipeline, deviceId: deviceId(), ...facts };
    fileKey = await uploadPhoto({ api: studio.api, file, more, onProgress, signal });
    return null;
  });
}
