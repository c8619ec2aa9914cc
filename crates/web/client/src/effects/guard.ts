// SPDX-License-Identifier: EUPL-1.2
/** Watches whether an effect keeps up. One slow moment is nothing; a device that is too slow for seconds is better off without it. */

/** How long it may be too much before the effect is switched off. */
export const PATIENCE_MS = 4_000;
/** Of how many frames the average is, about. */
const FRAMES = 10;
/** One frame counts as no more than this many: the device may have been asleep in between. */
const WORST = 4;
/** A picture that changes less often than this is no longer one of a person who moves. */
const SLOWEST_PICTURE_MS = 1_000 / 12;

export class LoadGuard {
  readonly #now: () => number;
  #share: number | undefined;
  #since: number | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** A frame took so long of the time there is for one. Answers true once that has been too much for too long. */
  spent(tookMs: number, budgetMs: number): boolean {
    const share = Math.min(tookMs / budgetMs, WORST);
    this.#share = this.#share === undefined ? share : this.#share + (share - this.#share) / FRAMES;
    const now = this.#now();
    if (this.#share <= 1) {
      this.#since = undefined;
      return false;
    }
    this.#since ??= now;
    return now - this.#since >= PATIENCE_MS;
  }
}

/** The time that there is for a picture of a camera that gives so many a second: some may be left out, down to a limit. */
export function budgetOf(framesPerSecond: number | undefined): number {
  const interval = framesPerSecond !== undefined && framesPerSecond > 0 ? 1_000 / framesPerSecond : 0;
  return Math.max(interval, SLOWEST_PICTURE_MS);
}
