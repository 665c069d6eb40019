/** The way from view to view: links, so that the browser's history and "open in a new tab" work. */

import { html } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';

/** @param {{running: Map<string, number>}} props how many jobs of each view are under way */
export function Navigation({ running }) {
  const { i18n, views, view } = usePage();
  return html`<nav class="views" aria-label=${i18n.t('navigation')}>
    <ul>
      ${views.map(
        (each) => html`<li key=${each.id}>
          <a href=${`#${each.id}`} data-testid=${`view-link-${each.id}`} aria-current=${each === view ? 'page' : undefined}>
            ${i18n.of(each, 'name')}
            <${Count} running=${running.get(each.id) ?? 0} />
          </a>
        </li>`,
      )}
    </ul>
  </nav>`;
}

/** @param {{running: number}} props */
function Count({ running }) {
  const { i18n } = usePage();
  if (running === 0) return null;
  return html` <span class="running" aria-hidden="true">${i18n.number(running)}</span>
    <span class="unseen">${i18n.t('navigation.running', { count: i18n.number(running) })}</span>`;
}
