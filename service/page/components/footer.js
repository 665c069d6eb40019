/** The last line: the ways to the documentation and, for whom it opens, to the operators' view. */

import { html } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';

export function Footer() {
  const { i18n, session } = usePage();
  return html`<footer class="foot">
    <a href="/docs" data-testid="docs-link">${i18n.t('footer.docs')}</a>
    ${session.isOperator && html`<a href="/ops" data-testid="ops-link">${i18n.t('footer.ops')}</a>`}
  </footer>`;
}
