/** One user: found by id, given another limit, blocked or let in again. */

import { html, useState } from '../vendor/preact-htm.js';
import { Question } from '../components/dialog.js';
import { usePage } from '../page.js';
import { Answer, useOrder } from './actions.js';

/** @typedef {import('./orders.js').Orders} Orders */
/** @typedef {import('./orders.js').User} User */

const FACTS = /** @type {const} */ (['email', 'displayName', 'provider', 'createdAt', 'lastLoginAt', 'totalImages', 'usedToday']);
const MOMENTS = ['createdAt', 'lastLoginAt'];

/** @param {{orders: Orders}} props */
export function UserPanel({ orders }) {
  const { i18n } = usePage();
  const { said, isBusy, order } = useOrder();
  const [user, setUser] = useState(/** @type {User | null} */ (null));
  const find = (/** @type {any} */ event) => {
    event.preventDefault();
    const userId = event.target.elements.userId.value.trim();
    setUser(null);
    return order(async () => {
      const found = await orders.user(userId);
      setUser(found);
      return i18n.t('ops.user.found', { name: found.displayName || found.email || found.userId });
    });
  };
  const change = (/** @type {Parameters<Orders['changeUser']>[1]} */ changes, /** @type {string} */ done) =>
    order(async () => {
      setUser(await orders.changeUser(/** @type {User} */ (user).userId, changes));
      return i18n.t(done);
    });
  return html`<section class="panel user">
    <h3>${i18n.t('ops.user')}</h3>
    <p class="note">${i18n.t('ops.user.note')}</p>
    <form class="inline" onSubmit=${find}>
      <label class="field">
        <span>${i18n.t('ops.user.id')}</span>
        <input name="userId" required maxlength="255" autocomplete="off" autocapitalize="none" spellcheck=${false} data-testid="user-id" />
      </label>
      <button data-testid="user-find" aria-disabled=${isBusy}>${i18n.t('ops.user.find')}</button>
    </form>
    ${user && html`<${Found} key=${user.userId} user=${user} change=${change} isBusy=${isBusy} />`}
    <${Answer} said=${said} testId="user-answer" />
  </section>`;
}

/** @param {{user: User, isBusy: boolean, change: (changes: any, done: string) => Promise<void>}} props */
function Found({ user, isBusy, change }) {
  const { i18n } = usePage();
  const [isAsking, setIsAsking] = useState(false);
  const say = (/** @type {typeof FACTS[number]} */ name) => {
    const value = user[name];
    if (typeof value === 'number') return i18n.number(value);
    return value && MOMENTS.includes(name) ? i18n.moment(value) : value || '–';
  };
  const setLimit = (/** @type {any} */ event) => {
    event.preventDefault();
    const said = event.target.elements.dailyLimit.value.trim();
    return change({ dailyLimit: said === '' ? null : Number(said) }, said === '' ? 'ops.user.limitUsual' : 'ops.user.limitSet');
  };
  return html`<div class="found" data-testid="user-found" data-blocked=${user.blocked}>
    <dl>
      ${FACTS.map((name) => html`<div key=${name}><dt>${i18n.t(`ops.user.${name}`)}</dt><dd>${say(name)}</dd></div>`)}
      <div><dt>${i18n.t('ops.user.standing')}</dt><dd><b>${i18n.t(user.blocked ? 'ops.user.blocked' : 'ops.user.free')}</b></dd></div>
    </dl>
    <form class="inline" onSubmit=${setLimit}>
      <label class="field">
        <span>${i18n.t('ops.user.dailyLimit')}</span>
        <input
          name="dailyLimit" type="number" min="0" max="100000" step="1" inputmode="numeric" data-testid="user-limit"
          defaultValue=${user.dailyLimit ?? ''} placeholder=${i18n.t('ops.user.usual', { limit: i18n.number(user.usualDailyLimit) })}
        />
        <small>${i18n.t('ops.user.limitHint', { limit: i18n.number(user.usualDailyLimit) })}</small>
      </label>
      <button data-testid="user-limit-save" aria-disabled=${isBusy}>${i18n.t('ops.user.save')}</button>
    </form>
    <div class="actions">
      ${user.blocked
        ? html`<button type="button" key="unblock" data-testid="user-unblock" aria-disabled=${isBusy} onClick=${() => change({ blocked: false }, 'ops.user.unblocked')}>
            ${i18n.t('ops.user.unblock')}
          </button>`
        : html`<button type="button" key="block" data-testid="user-block" aria-disabled=${isBusy} onClick=${() => setIsAsking(true)}>
            ${i18n.t('ops.user.block')}
          </button>`}
    </div>
    ${isAsking &&
    html`<${Question}
      id="block" words=${i18n.t('ops.user.blockQuestion', { name: user.displayName || user.email || user.userId })}
      keep=${i18n.t('ops.cancel')} confirm=${i18n.t('ops.user.block')}
      onConfirm=${() => change({ blocked: true }, 'ops.user.nowBlocked')} onClose=${() => setIsAsking(false)}
    />`}
  </div>`;
}
