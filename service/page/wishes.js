/** Gives each wish a key of its own until it is answered: asked for again, it does not start, and cost, a second job. */

/** Answers after which the wish cannot be granted under its key any more. */
const LAST_ANSWERS = ['file_not_found', 'job_not_found', 'idempotency_key_reused'];

/** 128 bits by chance, as a UUID has; `randomUUID` is missing where the page came over plain HTTP. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class Wishes {
  /** @type {Map<string, string>} */ #keys = new Map();

  /**
   * Ask under the wish's key. Without an answer, or with a refusal, which a lost answer may have preceded, the key is kept.
   * @template Answer
   * @param {object} wish the same fields in the same order are the same wish
   * @param {(key: string) => Promise<Answer>} ask @returns {Promise<Answer>}
   */
  async ask(wish, ask) {
    const name = JSON.stringify(wish);
    const key = this.#keys.get(name) ?? newKey();
    this.#keys.set(name, key);
    try {
      const answer = await ask(key);
      this.#keys.delete(name);
      return answer;
    } catch (error) {
      if (LAST_ANSWERS.includes(/** @type {any} */ (error).code)) this.#keys.delete(name);
      throw error;
    }
  }
}
