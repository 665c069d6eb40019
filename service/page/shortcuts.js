/** Single keys that do things: not while the person is typing, not in a dialog, and not for who has switched them off. */

const STORAGE_KEY = 'darkroom.shortcuts';
const TYPING = 'textarea, select, [contenteditable], input:not([type=radio], [type=checkbox], [type=range], [type=file], [type=color])';

export const areShortcutsOn = () => localStorage.getItem(STORAGE_KEY) !== 'off';

/** Single letters are in the way of who speaks to the computer. @param {boolean} isOn */
export function switchShortcuts(isOn) {
  if (isOn) localStorage.removeItem(STORAGE_KEY);
  else localStorage.setItem(STORAGE_KEY, 'off');
}

/** @param {KeyboardEvent} event */
function isMeant({ target, ctrlKey, metaKey, altKey, defaultPrevented, isComposing }) {
  if (ctrlKey || metaKey || altKey || defaultPrevented || isComposing || !areShortcutsOn()) return false;
  return !(target instanceof Element && target.matches(TYPING)) && !document.querySelector('dialog[open]');
}

/**
 * Act on keys until the returned function is called.
 * @param {(key: string) => boolean} act whether the key, in small letters, does something @returns {() => void}
 */
export function listenToKeys(act) {
  const listen = (/** @type {KeyboardEvent} */ event) => {
    if (isMeant(event) && act(event.key.toLowerCase())) event.preventDefault();
  };
  addEventListener('keydown', listen);
  return () => removeEventListener('keydown', listen);
}
