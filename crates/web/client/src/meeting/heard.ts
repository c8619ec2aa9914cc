// SPDX-License-Identifier: EUPL-1.2
/**
 * What was said to all breakout rooms and has been shown in this tab. The server tells it again to whoever connects, for those who were on
 * the way from one room to another; here it is known what was seen: in another room of the meeting, and after a reload.
 */

type Storage = Pick<globalThis.Storage, 'getItem' | 'setItem'>;

const KEY = 'parvis.heard';

export class Heard {
  readonly #storage: Storage | undefined;
  /** When the last of it was said, by the server's clock: later ones have greater times. */
  #last: number;

  constructor(storage: Storage | undefined = sessionStorageIfAny()) {
    this.#storage = storage;
    this.#last = lastOf(storage);
  }

  /** Whether what was said then is to be shown; once only. What says no time always is. */
  take(atMs: number): boolean {
    if (atMs <= 0) return true;
    if (atMs <= this.#last) return false;
    this.#last = atMs;
    try {
      this.#storage?.setItem(KEY, String(atMs));
    } catch {
      // Full or forbidden: it holds for this page.
    }
    return true;
  }
}

function lastOf(storage: Storage | undefined): number {
  try {
    const kept = Number(storage?.getItem(KEY));
    // A time that lies ahead is none of ours, and would silence what is yet to come.
    return Number.isFinite(kept) && kept <= Date.now() + AHEAD_MS ? kept : 0;
  } catch {
    return 0;
  }
}

/** Clocks differ. */
const AHEAD_MS = 24 * 3_600_000;

/** Reading the property itself throws where the user has forbidden storage. */
function sessionStorageIfAny(): Storage | undefined {
  try {
    return globalThis.sessionStorage;
  } catch {
    return undefined;
  }
}
