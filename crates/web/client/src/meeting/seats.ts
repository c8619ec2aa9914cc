// SPDX-License-Identifier: EUPL-1.2
/**
 * What this browser keeps of rooms: its seat, by which a reload is the same person, and the host key of those it made. Both are
 * secrets: they stay in this browser, are sent to the room's own door only, and are never part of a link.
 */
import { json } from './protocol.ts';

export interface Kept {
  seat?: string;
  hostKey?: string;
}

type Storage = Pick<globalThis.Storage, 'getItem' | 'setItem'>;

const KEY = 'parvis.rooms';
/** The oldest are forgotten; host keys outlive plain seats. */
export const ROOMS_AT_MOST = 200;
const TEXT_AT_MOST = 512;

type Entry = Kept & { at: number };

export class Seats {
  readonly #storage: Storage | undefined;
  /** What holds where nothing can be stored. */
  readonly #here = new Map<string, Entry>();

  constructor(storage: Storage | undefined = localStorageIfAny()) {
    this.#storage = storage;
  }

  of(room: string): Kept {
    const { seat, hostKey } = this.#load().get(room) ?? {};
    return { ...(seat === undefined ? {} : { seat }), ...(hostKey === undefined ? {} : { hostKey }) };
  }

  keep(room: string, change: Kept, now: number = Date.now()): void {
    const rooms = this.#load();
    rooms.set(room, { ...rooms.get(room), ...change, at: now });
    const worth = ([, entry]: [string, Entry]) => [entry.hostKey === undefined ? 0 : 1, entry.at] as const;
    const kept = [...rooms].sort((a, b) => worth(b)[0] - worth(a)[0] || worth(b)[1] - worth(a)[1]).slice(0, ROOMS_AT_MOST);
    this.#here.clear();
    for (const [name, entry] of kept) this.#here.set(name, entry);
    try {
      this.#storage?.setItem(KEY, JSON.stringify(Object.fromEntries(kept)));
    } catch {
      // Full or forbidden: it holds for this page.
    }
  }

  #load(): Map<string, Entry> {
    const rooms = new Map(this.#here);
    try {
      const stored = json(JSON.parse(this.#storage?.getItem(KEY) ?? '{}')) ?? {};
      for (const [room, value] of Object.entries(stored)) {
        const entry = json(value);
        if (entry === undefined) continue;
        const text = (key: 'seat' | 'hostKey') => {
          const found = entry[key];
          return typeof found === 'string' && found !== '' && found.length <= TEXT_AT_MOST ? { [key]: found } : {};
        };
        rooms.set(room, { ...text('seat'), ...text('hostKey'), at: typeof entry.at === 'number' ? entry.at : 0 });
      }
    } catch {
      // Written by hand or by another version: as if there were nothing.
    }
    return rooms;
  }
}

/** Reading the property itself throws where the user has forbidden storage. */
function localStorageIfAny(): Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
}
