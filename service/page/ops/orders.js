/** What an operator asks of the service: one request each, with the token kept fresh. */

import { ApiError, requestJson } from '../api.js';

/**
 * @typedef {{userId: string, email: string, displayName: string, provider: string, createdAt: string, lastLoginAt: string,
 *   totalImages: number, dailyLimit: number | null, usualDailyLimit: number, usedToday: number, remainingQuota: number,
 *   blocked: boolean}} User
 * @typedef {{letters: Record<string, number>, dryRun: boolean, complete: boolean}} Redriven
 */

const REDRIVE_TIMEOUT_MS = 40_000;
/** A load balancer gives each request to any of the tasks: after so many the one that is meant has most likely had it. */
const TRIES = 25;

export class Orders {
  /** @param {import('../session.js').Session} session */
  constructor(session) {
    this.session = session;
  }

  /** Have this very task leave. @param {string} task its name */
  async drain(task) {
    for (let left = TRIES; ; left -= 1) {
      try {
        return await this.#call('/ops/drain', { method: 'POST', body: { task } });
      } catch (error) {
        if (!(error instanceof ApiError) || error.code !== 'other_task' || left === 1) throw error;
      }
    }
  }

  /** @param {boolean} dryRun @returns {Promise<Redriven>} */
  redrive(dryRun) {
    return this.#call('/ops/redrive', { method: 'POST', body: { dryRun }, timeoutMs: REDRIVE_TIMEOUT_MS });
  }

  /** @param {string} userId @returns {Promise<User>} */
  user(userId) {
    return this.#call(`/ops/users/${encodeURIComponent(userId)}`);
  }

  /** @param {string} userId @param {{dailyLimit?: number | null, blocked?: boolean}} changes @returns {Promise<User>} */
  changeUser(userId, changes) {
    return this.#call(`/ops/users/${encodeURIComponent(userId)}`, { method: 'POST', body: changes });
  }

  /** @param {string} path @param {import('../api.js').Options} [options] */
  async #call(path, options) {
    const token = await this.session.token();
    try {
      return await requestJson(path, { ...options, token });
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      return requestJson(path, { ...options, token: await this.session.token({ refused: token }) });
    }
  }
}
