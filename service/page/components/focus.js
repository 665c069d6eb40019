/** Keeps the keyboard where the person is: what has the focus may go away, and the keyboard would start from the top. */

/** Go on here, if the focus was lost. @param {string} id */
export function goOnAt(id) {
  if (document.activeElement === document.body) document.getElementById(id)?.focus({ preventScroll: true });
}

/** Go to a field, also where it is folded away. @param {HTMLElement | null | undefined} field */
export function goToField(field) {
  const details = field?.closest('details');
  if (details) details.open = true;
  field?.focus();
}
