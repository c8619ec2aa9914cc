// SPDX-License-Identifier: EUPL-1.2
/**
 * What stands between the call and the library's cryptor, in the worker: it makes an encrypted call fail closed.
 *
 * By itself the library lets frames of people through whose tracks the server calls unencrypted, and frames that end in bytes
 * of the server's choice. Here, neither is: everyone in an encrypted call is encrypted, and what can't be decrypted is dropped. How it stands
 * with each track is told by what was really decrypted, not by what anyone claims.
 */

/** `closed`: frames come, and none of them can be decrypted. */
export type Opening = 'open' | 'closed';

/** Told to the page, beside the library's own messages. */
export interface OpeningMessage {
  kind: 'parvis-opening';
  track: string;
  opening: Opening;
}

interface Message {
  kind: string;
  data?: Record<string, unknown>;
}

/** A message of the page as it may go on to the library; nothing where it may not. */
export function guarded(message: Message): Message | undefined {
  if (message.kind === 'enable') return { ...message, data: { ...message.data, enabled: true } };
  // What would have the library take the server's own frames for good.
  if (message.kind === 'setSifTrailer') return undefined;
  return message;
}

/** Frames of one track since the last look. */
interface Counts {
  arrived: number;
  opened: number;
}

/** As many frames as may be lost in a row before a track counts as closed: a key frame may still be on its way. */
const ENOUGH = 10;

/** Counts what arrives and what is decrypted of each track, and tells when that changes. */
export class Openings {
  readonly #counts = new Map<string, Counts>();
  readonly #told = new Map<string, Opening>();

  constructor(private readonly tell: (message: OpeningMessage) => void) {}

  arrived(track: string): void {
    this.#of(track).arrived++;
  }

  opened(track: string): void {
    this.#of(track).opened++;
    // The first one is told at once: a picture appears with it.
    if (this.#told.get(track) !== 'open') this.#say(track, 'open');
  }

  /** To be called now and then: whatever has come since and was not decrypted makes a track closed. */
  look(): void {
    for (const [track, counts] of this.#counts) {
      if (counts.opened > 0) this.#counts.set(track, { arrived: 0, opened: 0 });
      else if (counts.arrived >= ENOUGH) {
        this.#counts.set(track, { arrived: 0, opened: 0 });
        this.#say(track, 'closed');
      }
    }
  }

  /** The same stream carries another track from now on. */
  renamed(before: string, track: string): void {
    this.forget(before);
    this.forget(track);
  }

  forget(track: string): void {
    this.#counts.delete(track);
    this.#told.delete(track);
  }

  #of(track: string): Counts {
    let counts = this.#counts.get(track);
    if (counts === undefined) this.#counts.set(track, (counts = { arrived: 0, opened: 0 }));
    return counts;
  }

  #say(track: string, opening: Opening): void {
    if (this.#told.get(track) === opening) return;
    this.#told.set(track, opening);
    this.tell({ kind: 'parvis-opening', track, opening });
  }
}
