// SPDX-License-Identifier: EUPL-1.2
/**
 * Encryption of one stay in one room. Where the keys come from is behind `KeySource`; today it is the link, by one key shared
 * by all. Whatever takes its place must keep the promises of the rest: nothing leaves in clear, and nothing is shown that was
 * not decrypted.
 */
import { type BaseKeyProvider, ExternalE2EEKeyProvider, type Room, type RoomOptions, type Track } from 'livekit-client';
import { ownScript } from '../trusted.ts';
import { mediaSecret } from './derive.ts';
import type { Opening, OpeningMessage } from './guard.ts';
import type { LinkKey } from './key.ts';
import workerUrl from './worker.ts?worker&url';

/** Where the keys of a call come from. */
export interface KeySource {
  /** What the library asks. */
  readonly provider: BaseKeyProvider;
  /** Resolves once there is a key: nothing may be sent before. */
  ready(): Promise<void>;
}

/** One key for all, out of the link. */
export class LinkKeySource implements KeySource {
  readonly provider = new ExternalE2EEKeyProvider({ keySize: 256 });
  readonly #ready: Promise<void>;

  constructor(key: LinkKey, room: string) {
    this.#ready = mediaSecret(key, room).then((secret) => this.provider.setKey(secret));
    this.#ready.catch(() => undefined);
  }

  ready(): Promise<void> {
    return this.#ready;
  }
}

/** The library's own mark. */
const GUARDED = 'lk_e2ee';

/** `waiting`: nothing has arrived that could tell. `closed`: what arrives can't be decrypted. */
export type Decryption = 'waiting' | Opening;

export class Encryption {
  readonly #keys: KeySource;
  readonly #newWorker: () => Worker;
  readonly #openings = new Map<string, Opening>();
  #worker: Worker | undefined;
  #changed: () => void = () => undefined;

  constructor(keys: KeySource, newWorker: () => Worker = startWorker) {
    this.#keys = keys;
    this.#newWorker = newWorker;
  }

  /** For a new room. A worker is of one room only: the one before ends. */
  options(): NonNullable<RoomOptions['encryption']> {
    this.close();
    const worker = this.#newWorker();
    worker.addEventListener('message', ({ data }: MessageEvent<OpeningMessage>) => {
      if (data.kind !== 'parvis-opening' || worker !== this.#worker) return;
      this.#openings.set(data.track, data.opening);
      this.#changed();
    });
    this.#worker = worker;
    return { keyProvider: this.#keys.provider, worker };
  }

  /** To be awaited before a room connects. It fails rather than let a room connect that would not encrypt. */
  async prepare(room: Room): Promise<void> {
    await this.#keys.ready();
    await room.setE2EEEnabled(true);
    if (!room.hasE2EESetup) throw new Error('the room was made without encryption');
  }

  /** Calls `changed` whenever `of` answers differently for a track. */
  observe(changed: () => void): void {
    this.#changed = changed;
  }

  /** How it stands with a track of another person. */
  of(track: Track): Decryption {
    if (!this.guards(track)) return 'closed';
    return this.#openings.get(track.mediaStreamID) ?? 'waiting';
  }

  /** Whether the decryption stands before what is received. The library marks receivers where it does; others would play anything. */
  guards(track: Track): boolean {
    const receiver = (track as { receiver?: object }).receiver;
    return receiver !== undefined && GUARDED in receiver;
  }

  close(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#openings.clear();
  }
}

function startWorker(): Worker {
  return new Worker(ownScript(workerUrl), { type: 'module' });
}
