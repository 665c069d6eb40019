/** The switch of notifications, shown where somebody waits. */

import { html, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';

export function NotifySwitch() {
  const { i18n, notifier } = usePage();
  const [state, setState] = useState(notifier.state);
  if (state === 'missing') return null;
  if (state === 'refused') return html`<small data-testid="notify-refused">${i18n.t('notify.refused')}</small>`;
  const change = async () => setState(state === 'on' ? notifier.turnOff() : await notifier.turnOn());
  return html`<button type="button" class="small quiet" data-testid="notify" aria-pressed=${String(state === 'on')} onClick=${change}>
    ${i18n.t(state === 'on' ? 'notify.on' : 'notify.off')}
  </button>`;
}
