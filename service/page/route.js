/** Which view the address names: `#parking`, or `#parking/report_…` for one thing in it. */

import { useEffect, useState } from './vendor/preact-htm.js';

/** @typedef {import('./page.js').View} View */
/** @typedef {{view: View, detail: string}} Route */

/** The view named, else the first. @param {string} hash @param {View[]} views @returns {Route} */
export function routeOf(hash, views) {
  const [id, detail = ''] = hash.replace(/^#/, '').split('/');
  return { view: views.find((each) => each.id === id) ?? views[0], detail };
}

/** @param {View[]} views @returns {Route} */
export function useRoute(views) {
  const [route, setRoute] = useState(() => routeOf(location.hash, views));
  useEffect(() => {
    const follow = () => setRoute(routeOf(location.hash, views));
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, [views]);
  return route;
}
