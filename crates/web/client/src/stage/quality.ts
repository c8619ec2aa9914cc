// SPDX-License-Identifier: EUPL-1.2
/** Whose network it is, when a picture is bad. */

export type Connection = 'excellent' | 'good' | 'weak' | 'lost';

/** Bars lit, of three. */
export const BARS: Record<Connection, number> = { excellent: 3, good: 2, weak: 1, lost: 0 };

/** The state of the mark on someone's tile: nobody wants bars on a good one. */
export function markOf(
  own: Connection,
  theirs: Connection,
  isLocal: boolean,
): { bars: number; whose: 'yours' | 'theirs' } | undefined {
  if (isLocal) return bad(own) ? { bars: BARS[own], whose: 'yours' } : undefined;
  if (!bad(theirs)) return undefined;
  // With a bad network of one's own everyone looks bad: that says nothing of theirs, unless the server has lost them.
  return { bars: BARS[theirs], whose: bad(own) && theirs !== 'lost' ? 'yours' : 'theirs' };
}

/** Long enough that a hiccup is not a sentence. */
export const HINT_AFTER_MS = 5_000;

/**
 * Whether to tell the user that the network is weak: after it has been so for a while, and not again after it was dismissed,
 * until it was good in between.
 */
export class NetworkHint {
  #badSince: number | undefined;
  #dismissed = false;

  update(own: Connection, now: number): boolean {
    if (!bad(own)) {
      this.#badSince = undefined;
      this.#dismissed = false;
      return false;
    }
    this.#badSince ??= now;
    return !this.#dismissed && now - this.#badSince >= HINT_AFTER_MS;
  }

  dismiss(): void {
    this.#dismissed = true;
  }
}

function bad(connection: Connection): boolean {
  return connection === 'weak' || connection === 'lost';
}
