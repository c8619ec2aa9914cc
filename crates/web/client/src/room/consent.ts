// SPDX-License-Identifier: EUPL-1.2
/**
 * The user's answer to being recorded: asked for once a recording goes on, kept for as long as the user stays. The server asks anew
 * after each new join; whoever comes back by itself need not answer twice.
 */
import type { Consent } from '../consent.ts';
import type { Ticket } from '../join.ts';

/** Between tries to hear from the server. Until it has an answer nobody is recorded, so nothing hurries. */
const AGAIN_MS = [1_000, 2_000, 4_000, 8_000];

interface World {
  consent(ticket: Ticket, answer?: boolean): Promise<Consent>;
  pause(ms: number): Promise<void>;
}

export class ConsentKeeper {
  readonly #world: World;
  readonly #tell: (consent: Consent) => void;
  #answer: boolean | undefined;
  #ticket: Ticket | undefined;
  /** The join for which the server was asked. */
  #asked: Ticket | undefined;

  constructor(world: World, tell: (consent: Consent) => void) {
    this.#world = world;
    this.#tell = tell;
  }

  /** A join, or the end of one. */
  joined(ticket: Ticket | undefined): void {
    this.#ticket = ticket;
  }

  /** Whether a recording goes on, as often as anybody looks. */
  recording(on: boolean): void {
    const ticket = this.#ticket;
    if (!on || ticket === undefined || this.#asked === ticket) return;
    this.#asked = ticket;
    void this.#ask(ticket);
  }

  /** The user's answer. It rejects when the server could not be told; then the former one holds. */
  async answer(given: boolean): Promise<void> {
    const ticket = this.#ticket;
    if (ticket === undefined) return;
    const consent = await this.#world.consent(ticket, given);
    this.#answer = given;
    if (ticket === this.#ticket) this.#tell(consent);
  }

  async #ask(ticket: Ticket): Promise<void> {
    for (let attempt = 0; ticket === this.#ticket; attempt++) {
      try {
        let consent = await this.#world.consent(ticket);
        if (consent === 'asked' && this.#answer !== undefined) consent = await this.#world.consent(ticket, this.#answer);
        if (ticket === this.#ticket) this.#tell(consent);
        return;
      } catch {
        await this.#world.pause(AGAIN_MS[Math.min(attempt, AGAIN_MS.length - 1)] ?? 0);
      }
    }
  }
}
