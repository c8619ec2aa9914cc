// SPDX-License-Identifier: EUPL-1.2
/** Keeps the screen from going dark during a call, where the browser can. */

interface Lock {
  release(): Promise<void>;
}

interface World {
  request(): Promise<Lock>;
  isVisible(): boolean;
  onVisible(then: () => void): () => void;
}

/** Until the returned function is called. A lock ends whenever the page is hidden, so it is asked for again. */
export function keepAwake(world: World | undefined = browserWorld()): () => void {
  if (world === undefined) return () => undefined;
  let lock: Lock | undefined;
  let over = false;
  const ask = async () => {
    if (!world.isVisible()) return;
    try {
      const got = await world.request();
      if (over) await got.release();
      else lock = got;
    } catch {
      // The system saves power, or the user forbade it: the call goes on all the same.
    }
  };
  void ask();
  const stop = world.onVisible(() => void ask());
  return () => {
    over = true;
    stop();
    lock?.release().catch(() => undefined);
  };
}

function browserWorld(): World | undefined {
  if (!('wakeLock' in navigator)) return undefined;
  return {
    request: () => navigator.wakeLock.request('screen'),
    isVisible: () => document.visibilityState === 'visible',
    onVisible: (then) => {
      document.addEventListener('visibilitychange', then);
      return () => document.removeEventListener('visibilitychange', then);
    },
  };
}
