// SPDX-License-Identifier: EUPL-1.2
/** Hold Space to talk: the microphone is on for as long as the key is down, and off again whatever happens to the key. */

export interface Switchable {
  /** Whether the microphone is on now. */
  isOn(): boolean;
  setOn(on: boolean): void;
}

/** A shorter press is a slip of the thumb; it is on all the same, since nobody waits to speak. */
export class HoldToTalk {
  readonly #microphone: Switchable;
  #held = false;

  constructor(microphone: Switchable) {
    this.#microphone = microphone;
  }

  get held(): boolean {
    return this.#held;
  }

  /** True where the press was taken. */
  down(repeat: boolean): boolean {
    // A key that is held repeats: the page must not scroll by it.
    if (this.#held) return true;
    if (repeat || this.#microphone.isOn()) return false;
    this.#held = true;
    this.#microphone.setOn(true);
    return true;
  }

  /** Also when the window loses the keyboard, and with it the key's end. */
  up(): boolean {
    if (!this.#held) return false;
    this.#held = false;
    this.#microphone.setOn(false);
    return true;
  }
}
