/** News for whoever looks elsewhere: a notification of the browser, if the person has asked for it. */

const STORAGE_KEY = 'darkroom.notifications';

/** Have the page kept for times without a network, and somebody there who carries notifications. */
export function startWorker() {
  // Without it the page works all the same; it is missing in private windows and over plain HTTP.
  navigator.serviceWorker?.register('/worker.js').catch(() => {});
  navigator.serviceWorker?.addEventListener('message', ({ data }) => {
    if (data?.type === 'show' && data.hash) location.hash = data.hash;
  });
}

export class Notifier {
  /** @param {Storage} storage */
  constructor(storage) {
    this.storage = storage;
  }

  /** @returns {'missing' | 'refused' | 'on' | 'off'} `refused` in the browser, where the page cannot change it */
  get state() {
    if (!('Notification' in globalThis) || !navigator.serviceWorker) return 'missing';
    if (Notification.permission === 'denied') return 'refused';
    return Notification.permission === 'granted' && this.storage.getItem(STORAGE_KEY) === 'on' ? 'on' : 'off';
  }

  /** Ask for them, on the person's press of a button. @returns {Promise<'missing' | 'refused' | 'on' | 'off'>} */
  async turnOn() {
    if ((await Notification.requestPermission()) === 'granted') this.storage.setItem(STORAGE_KEY, 'on');
    return this.state;
  }

  /** @returns {'missing' | 'refused' | 'on' | 'off'} */
  turnOff() {
    this.storage.removeItem(STORAGE_KEY);
    return this.state;
  }

  /**
   * Tell of a job, unless the person sees the page. Several tabs tell of it once, for it has one tag.
   * @param {{title: string, body: string, tag: string, hash: string, lang: string}} news `hash` is where a press on it leads
   */
  async tell({ title, hash, ...words }) {
    if (this.state !== 'on' || !document.hidden) return;
    const worker = await navigator.serviceWorker.ready;
    await worker.showNotification(title, { ...words, icon: '/page/icons/192.png', data: { hash } });
  }
}
