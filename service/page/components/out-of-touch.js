/** A line that stays in sight while no news comes in: the header, which says so too, may be scrolled away. */

import { html, useEffect, useState } from '../vendor/preact-htm.js';
import { usePage } from '../page.js';

/** A line that comes and goes with each reconnection would only flicker. */
const PATIENCE_MS = 3_000;

/** @param {{connection: import('../darkroom-line.js').State, isConnected: boolean}} props */
export function OutOfTouch({ connection, isConnected }) {
  const { i18n } = usePage();
  const [isLong, setIsLong] = useState(false);
  useEffect(() => {
    if (isConnected) return setIsLong(false);
    const timer = setTimeout(() => setIsLong(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [isConnected]);
  return html`<div class="out-of-touch" role="status" data-testid="out-of-touch">
    ${isLong && !isConnected && html`<p>${i18n.t(`connection.${connection}.meaning`)}</p>`}
  </div>`;
}
