/** What a person has begun in each view: it outlives a look at another one, and so do the previews of its photos. */

import { showsPreview } from './store.js';

const STORAGE_KEY = 'darkroom.drafts';

export class Drafts {
  /** @type {Map<string, any>} */ #values = new Map();
  /** Those that outlive a reload, too. @type {Map<string, any>} */ #kept;
  /** @type {Set<string>} */ #previewUrls = new Set();
  /** @type {Set<() => void>} */ #subscribers = new Set();

  /** @param {Storage} storage @param {string | null} person whose they are: nobody else is shown them */
  constructor(storage, person) {
    this.storage = storage;
    this.storageKey = `${STORAGE_KEY}.${person}`;
    this.#kept = new Map(JSON.parse(storage.getItem(this.storageKey) ?? '[]'));
  }

  /** @template Value @param {string} name @param {() => Value} first @returns {Value} */
  get(name, first) {
    if (!this.#values.has(name)) this.#values.set(name, this.#kept.has(name) ? this.#kept.get(name) : first());
    return this.#values.get(name);
  }

  /** @param {string} name @param {any} value */
  set(name, value) {
    this.#values.set(name, value);
    this.#subscribers.forEach((notify) => notify());
  }

  /** Keep a value over a reload of this tab; `undefined` keeps none. @param {string} name @param {any} value that JSON can tell */
  keep(name, value) {
    if (value === undefined) this.#kept.delete(name);
    else this.#kept.set(name, value);
    if (this.#kept.size === 0) this.storage.removeItem(this.storageKey);
    else this.storage.setItem(this.storageKey, JSON.stringify([...this.#kept]));
  }

  /** Keep nothing over a reload any more. */
  forget() {
    this.#kept.clear();
    this.storage.removeItem(this.storageKey);
  }

  /** The same for whoever has left. @param {Storage} storage */
  static forgetAll(storage) {
    const keys = Object.keys(storage).filter((key) => key.startsWith(`${STORAGE_KEY}.`));
    keys.forEach((key) => storage.removeItem(key));
  }

  /** @param {() => void} notify @returns {() => void} ends the subscription */
  subscribe(notify) {
    this.#subscribers.add(notify);
    return () => void this.#subscribers.delete(notify);
  }

  /** An address that shows the file. @param {File} file */
  preview(file) {
    const url = URL.createObjectURL(file);
    this.#previewUrls.add(url);
    return url;
  }

  /** Take a photo into a view's form. @param {string} viewId @param {File} file */
  takePhoto(viewId, file) {
    this.set(`${viewId}.problem`, null);
    this.set(`${viewId}.photo`, { file, previewUrl: this.preview(file), fileKey: '' });
  }

  /** Release the previews that neither a draft nor a gallery shows. @param {import('./store.js').State} state */
  releaseUnused(state) {
    const drafted = new Set([...this.#values.values()].map((value) => value?.previewUrl));
    this.#releaseUnless((url) => drafted.has(url) || showsPreview(state, url));
  }

  releaseAll() {
    this.#releaseUnless(() => false);
  }

  /** @param {(url: string) => boolean} isShown */
  #releaseUnless(isShown) {
    for (const url of this.#previewUrls) {
      if (isShown(url)) continue;
      URL.revokeObjectURL(url);
      this.#previewUrls.delete(url);
    }
  }
}
