// SPDX-License-Identifier: EUPL-1.2
/** Starts the service worker, and tells when it has brought a newer build than the one that is shown. */
import { Store } from '../store.ts';
import { ownScript } from '../trusted.ts';

/** A page that stays open asks no more often than that. */
const ASK_AGAIN_MS = 60 * 60 * 1000;

class Updates extends Store<{ ready: boolean }> {
  #waiting: ServiceWorker | undefined;

  constructor() {
    super({ ready: false });
  }

  found(worker: ServiceWorker): void {
    this.#waiting = worker;
    this.set({ ready: true });
  }

  /** Shows the newer build: the page is loaded anew once it is in charge. */
  take(): void {
    navigator.serviceWorker.addEventListener('controllerchange', () => location.reload(), { once: true });
    this.#waiting?.postMessage('take-over');
  }
}

export const updates = new Updates();

export async function register(): Promise<void> {
  if (!('serviceWorker' in navigator) || !isSecureContext) return;
  let registration: ServiceWorkerRegistration | undefined;
  try {
    registration = await navigator.serviceWorker.register(ownScript('/sw.js'));
  } catch {
    // Private windows and some settings have none. Everything works without.
    return;
  }
  // A browser that is told to block them may say so by giving nothing.
  if (registration === undefined) return;
  // The first one ever is no update: what is shown came with it.
  const found = registration;
  const look = () => {
    if (found.waiting !== null && navigator.serviceWorker.controller !== null) updates.found(found.waiting);
  };
  look();
  found.addEventListener('updatefound', () => found.installing?.addEventListener('statechange', look));
  void navigator.serviceWorker.ready.then(({ active }) => {
    const fetched = performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname);
    active?.postMessage(fetched.filter((path) => path.startsWith('/assets/')));
  });
  let asked = Date.now();
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState !== 'visible' || Date.now() - asked < ASK_AGAIN_MS) return;
    asked = Date.now();
    found.update().catch(() => undefined);
  });
}
