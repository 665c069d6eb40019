/** The keys of the page: what each does, and the dialog that tells of them. */

import { html, useEffect, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';
import { areShortcutsOn, listenToKeys, switchShortcuts } from '../shortcuts.js';
import { Dialog, closeAround } from './dialog.js';

/** The first key of the row of views. */
const FIRST_VIEW = 1;

/** Where a job begins: the photo, or, where there is none, the words. */
function begin() {
  const [photo, words] = ['photo-input', 'entry'].map((hook) => document.querySelector(`[data-testid=${hook}]`));
  if (photo instanceof HTMLElement) photo.click();
  else if (words instanceof HTMLElement) words.focus();
}

/** @param {{studio: import('../studio.js').Studio}} props */
export function Shortcuts({ studio }) {
  const { i18n, views } = usePage();
  const [isShown, setIsShown] = useState(false);
  useEffect(() => {
    /** @type {Record<string, () => unknown>} */
    const keys = {
      u: begin,
      g: () => document.getElementById('gallery-title')?.focus(),
      z: () => studio.toasts.offer && studio.toasts.act(studio.toasts.offer.id),
      '?': () => setIsShown(true),
    };
    views.forEach(({ id }, index) => {
      keys[String(index + FIRST_VIEW)] = () => (location.hash = id);
    });
    return listenToKeys((key) => {
      keys[key]?.();
      return key in keys;
    });
  }, [studio, views]);
  return html`<p class="keys-line">
      <button type="button" class="quiet small" data-testid="shortcuts" onClick=${() => setIsShown(true)}>${i18n.t('shortcuts.title')}</button>
    </p>
    ${isShown && html`<${Help} onClose=${() => setIsShown(false)} />`}`;
}

/** @param {{onClose: () => void}} props */
function Help({ onClose }) {
  const { i18n, views } = usePage();
  const [isOn, setIsOn] = useState(areShortcutsOn());
  const choose = (/** @type {any} */ { target }) => {
    switchShortcuts(target.checked);
    setIsOn(target.checked);
  };
  /** @type {[string, string][]} */
  const rows = [
    ['U', i18n.t('shortcuts.begin')],
    ['G', i18n.t('shortcuts.gallery')],
    ['Z', i18n.t('shortcuts.undo')],
    [`${FIRST_VIEW} – ${views.length}`, i18n.t('shortcuts.views')],
    ['+ − 0 ← ↑ → ↓', i18n.t('shortcuts.zoom')],
    ['Esc', i18n.t('shortcuts.close')],
    ['?', i18n.t('shortcuts.help')],
  ];
  return html`<${Dialog} testId="shortcuts-dialog" labelId="shortcuts-title" className="question" onClose=${onClose}>
    <h2 id="shortcuts-title">${i18n.t('shortcuts.title')}</h2>
    <dl class="keys">
      ${rows.map(([key, words]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${words}</dd></div>`)}
    </dl>
    <label class="tick"><input type="checkbox" data-testid="shortcuts-on" checked=${isOn} onChange=${choose} /> ${i18n.t('shortcuts.on')}</label>
    <div class="actions"><button type="button" data-testid="shortcuts-close" onClick=${closeAround}>${i18n.t('zoom.close')}</button></div>
  <//>`;
}
