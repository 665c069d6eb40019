/** What a person has begun in each view: it outlives a look at another one, and so do the previews of its photos. */

import { showsPreview } from './store.js';

export class Drafts {
  /** @type {Map<string, any>} */ #values = new Map();
  /** @type {Set<string>} */ #previewUrls = new Set();

  /** @template Value @param {string} name @param {() => Value} first @returns {Value} */
  get(name, first) {
    if (!this.#values.has(name)) this.#values.set(name, first());
    return this.#values.get(name);
  }

  /** @param {string} name @param {any} value */
  set(name, value) {
    this.#values.set(name, value);
  }

  /** An address that shows the file. @param {File} file */
  preview(file) {
    const url = URL.createObjectURL(file);
    this.#previewUrls.add(url);
    return url;
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
