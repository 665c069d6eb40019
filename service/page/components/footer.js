/** The last line: the way to the documentation. */

import { html } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';

export function Footer() {
  const { i18n } = usePage();
  return html`<footer class="foot"><a href="/docs" data-testid="docs-link">${i18n.t('footer.docs')}</a></footer>`;
}
