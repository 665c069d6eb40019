/**
 * Shows the page without a network, and carries notifications.
 *
 * It keeps the page's own files and nothing of a person: no job, no picture, no answer of the API. The network always wins, so a
 * new version is there at the next load.
 */

const SHELL = 'darkroom-shell';
const PATIENCE_MS = 4_000;
const PUBLIC = new Set(['/', '/app-config.json', '/styles', '/manifest.webmanifest']);

/** @param {URL} url */
const isShell = (url) =>
  url.origin === location.origin && (PUBLIC.has(url.pathname) || /^\/(page\/(?!docs\/|ops\/)|darkroom-)/.test(url.pathname));

/** Kept by path alone: what stands behind it may be the code of a sign-in. @param {Request} request */
const nameOf = ({ url }) => new URL(url).pathname;

/** @param {Cache} cache @param {Request} request @returns {Promise<Response>} */
async function fetchAndKeep(cache, request) {
  const answer = await fetch(request, { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (answer.ok) await cache.put(nameOf(request), answer.clone());
  return answer;
}

/** @param {Request} request @returns {Promise<Response>} */
async function shellFile(request) {
  const cache = await caches.open(SHELL);
  try {
    return await fetchAndKeep(cache, request);
  } catch (error) {
    const kept = await cache.match(nameOf(request), { ignoreVary: true });
    if (kept) return kept;
    throw error;
  }
}

/** Keep the whole shell before the first time without a network. The files are those of the list the service tells. */
async function keepShell() {
  const cache = await caches.open(SHELL);
  const { files } = await (await fetch('/page-files.json')).json();
  // By its address alone the page is what programs are told.
  const headers = { Accept: 'text/html, */*' };
  await Promise.all([...files, ...PUBLIC].map((each) => fetchAndKeep(cache, new Request(each, { headers }))));
}

/** Go to the tab that is there, or open one. @param {string} hash */
async function show(hash) {
  const [tab] = await self.clients.matchAll({ type: 'window' });
  if (!tab) return self.clients.openWindow(`/${hash}`);
  tab.postMessage({ type: 'show', hash });
  return tab.focus();
}

self.addEventListener('install', (event) => event.waitUntil(keepShell().then(() => self.skipWaiting())));
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method === 'GET' && isShell(new URL(request.url))) event.respondWith(shellFile(request));
});
self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  event.waitUntil(show(event.notification.data?.hash ?? ''));
});
