// SPDX-License-Identifier: EUPL-1.2
/** What the level of one's own microphone tells: that one speaks while nobody can hear it, or that it gives no sound at all. */

/** Of `devices/level.ts`: about −36 dB, which typing does not reach for long and speech does. */
export const VOICE_LEVEL = 0.5;
/** Speech is above the level for most of a second. */
const WINDOW_MS = 1_000;
const SPOKEN_SHARE = 0.5;
/** Less than half of the least that 16 bits can say: no sound at all, not even noise. */
const SILENT_PEAK = 1.5e-5;
export const SILENT_AFTER_MS = 10_000;
/** So often and no more is someone told that the microphone is off. */
export const AGAIN_AFTER_MS = 30_000;

/** Whether someone speaks, from levels between 0 and 1. */
export class VoiceDetector {
  #levels: { at: number; level: number }[] = [];

  hear(level: number, now: number): boolean {
    this.#levels.push({ at: now, level });
    this.#levels = this.#levels.filter(({ at }) => now - at <= WINDOW_MS);
    const first = this.#levels[0];
    if (first === undefined || now - first.at < WINDOW_MS * 0.8) return false;
    return this.#levels.filter((each) => each.level >= VOICE_LEVEL).length >= this.#levels.length * SPOKEN_SHARE;
  }

  reset(): void {
    this.#levels = [];
  }
}

/** When to say "you are muted": not at every word. */
export class MutedTalk {
  readonly #voice = new VoiceDetector();
  #toldAt = -Infinity;

  /** True once, when it is time to tell. */
  hear(level: number, now: number): boolean {
    if (!this.#voice.hear(level, now) || now - this.#toldAt < AGAIN_AFTER_MS) return false;
    this.#toldAt = now;
    return true;
  }

  /** The microphone is on: what was heard until now is nothing to go by. */
  reset(): void {
    this.#voice.reset();
  }
}

/** Whether a microphone that is on gives nothing. One that was heard once works; a quiet room is no fault. */
export class Silence {
  #since: number | undefined;
  #heard = false;

  /** `peak` is the greatest sample since the last call. */
  hear(peak: number, now: number): boolean {
    if (peak > SILENT_PEAK) this.#heard = true;
    this.#since ??= now;
    return !this.#heard && now - this.#since >= SILENT_AFTER_MS;
  }

  /** Another microphone, or the same anew. */
  reset(): void {
    this.#since = undefined;
    this.#heard = false;
  }
}
