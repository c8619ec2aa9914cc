// SPDX-License-Identifier: EUPL-1.2
/**
 * Whether the others hear themselves: what the loudspeaker plays comes back by the microphone. Seen by the envelopes alone: the
 * own one follows the others' with a short delay, again and again. The browser's canceller removes most echoes before this is
 * measured; what is found here is what it could not remove.
 */

/** Between two values of an envelope. */
export const STEP_MS = 100;
/** What is looked at: eight seconds. */
const LENGTH = 80;
/** Sound takes so long at most to the loudspeaker, through the air, and back. */
const MAX_LAG = 6;
/** The others must have spoken and paused, or everything resembles everything. */
const LEAST_SPREAD = 0.12;
/** How alike the envelopes are: 1 is the same. Two people who talk at once stay below 0.5. */
export const ALIKE = 0.85;

export class EchoDetector {
  readonly #others: number[] = [];
  readonly #own: number[] = [];

  /** Levels from 0 to 1, one pair every `STEP_MS`. True where the own is the others' echo. */
  hear(others: number, own: number): boolean {
    this.#others.push(others);
    this.#own.push(own);
    if (this.#own.length > LENGTH) {
      this.#others.shift();
      this.#own.shift();
    }
    return this.#own.length === LENGTH && echoOf(this.#others, this.#own) >= ALIKE;
  }

  reset(): void {
    this.#others.length = 0;
    this.#own.length = 0;
  }
}

/** The greatest likeness of the two at any delay that an echo can have; 0 where there is too little to tell by. */
export function echoOf(others: readonly number[], own: readonly number[]): number {
  if (spread(others) < LEAST_SPREAD || spread(own) < LEAST_SPREAD / 2) return 0;
  let best = 0;
  // Not at once: whoever speaks exactly with the others is no echo of them.
  for (let lag = 1; lag <= MAX_LAG; lag++) {
    best = Math.max(best, likeness(others.slice(0, others.length - lag), own.slice(lag)));
  }
  return best;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function spread(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2)));
}

/** Pearson's correlation. */
function likeness(a: readonly number[], b: readonly number[]): number {
  const [meanA, meanB] = [mean(a), mean(b)];
  let both = 0;
  let ofA = 0;
  let ofB = 0;
  for (const [i, value] of a.entries()) {
    const [x, y] = [value - meanA, (b[i] ?? 0) - meanB];
    both += x * y;
    ofA += x * x;
    ofB += y * y;
  }
  return ofA === 0 || ofB === 0 ? 0 : both / Math.sqrt(ofA * ofB);
}
