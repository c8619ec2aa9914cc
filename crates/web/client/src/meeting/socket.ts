// SPDX-License-Identifier: EUPL-1.2
/**
 * The meeting's WebSocket: it says who it is, comes back by itself when it was lost, and matches answers with commands. What a
 * frame means is its owner's business.
 */
import { type Frame, type Json, readFrame } from './protocol.ts';

/** As much of a WebSocket as is used; tests give another. */
export interface Wire {
  send(text: string): void;
  close(): void;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
}

export type Hello = { token: string } | { waiting: string };

export interface SocketWorld {
  open(): Wire;
  /** Who says hello, asked anew for each connection; `again` after the server turned the last hello down. */
  hello(again: boolean): Promise<Hello>;
  /** Resolves after so long, or earlier when the network seems to be back. */
  pause(ms: number): Promise<void>;
  /** So many hellos turned down in a row are a "no"; without it, they never are. */
  refusalsAtMost?: number;
}

export interface SocketOwner {
  frame(frame: Frame): void;
  connected(yes: boolean): void;
  /** It will not come back by itself. */
  ended(why: 'replaced' | 'refused'): void;
}

/** A command that was not done: a code for programs, and the server's sentence. */
export class CommandError extends Error {
  override readonly name = 'CommandError';

  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** Longer than any answer takes where a call can be held. */
export const ANSWER_MS = 10_000;
/** Commands that nobody answers are not piled up without end. */
const UNANSWERED_AT_MOST = 64;
const AGAIN_MS = [300, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000];

/** The server's reasons to close, as docs/meeting-protocol.md has them. */
export const CLOSED = { replaced: 4001, refused: 4003 } as const;

interface Unanswered {
  settle(answer: { ok: Json } | { error: CommandError }): void;
  timer: ReturnType<typeof setTimeout>;
}

export class MeetingSocket {
  readonly #world: SocketWorld;
  readonly #owner: SocketOwner;
  readonly #unanswered = new Map<number, Unanswered>();
  #wire: Wire | undefined;
  #lastId = 0;
  #closed = false;

  constructor(world: SocketWorld, owner: SocketOwner) {
    this.#world = world;
    this.#owner = owner;
    void this.#run();
  }

  /** Resolves with what the server answers; rejects with a `CommandError`, also when there is no connection. */
  command(name: string, fields: Json = {}): Promise<Json> {
    const wire = this.#wire;
    if (wire === undefined) return Promise.reject(new CommandError('disconnected', 'there is no connection to the meeting'));
    if (this.#unanswered.size >= UNANSWERED_AT_MOST) {
      return Promise.reject(new CommandError('too_many', 'too many commands wait for their answers'));
    }
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const settle: Unanswered['settle'] = (answer) => {
        clearTimeout(timer);
        this.#unanswered.delete(id);
        if ('ok' in answer) resolve(answer.ok);
        else reject(answer.error);
      };
      const late = new CommandError('no_answer', `the server did not answer ${name} in time`);
      const timer = setTimeout(() => settle({ error: late }), ANSWER_MS);
      this.#unanswered.set(id, { settle, timer });
      wire.send(JSON.stringify({ id, do: name, ...fields }));
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#wire?.close();
    this.#lose();
  }

  async #run(): Promise<void> {
    let refusals = 0;
    for (let attempt = 0; !this.#closed; attempt++) {
      let heard = false;
      let code = 0;
      try {
        const hello = await this.#world.hello(refusals > 0);
        if (this.#closed) return;
        code = await this.#connection(hello, () => {
          heard = true;
          attempt = 0;
        });
      } catch {
        // No hello to be had for now: the network's fault, as far as anybody here can tell.
      }
      if (this.#closed) return;
      if (code === CLOSED.replaced) return this.#end('replaced');
      refusals = code === CLOSED.refused && !heard ? refusals + 1 : 0;
      if (refusals >= (this.#world.refusalsAtMost ?? Infinity)) return this.#end('refused');
      await this.#world.pause(AGAIN_MS[Math.min(attempt, AGAIN_MS.length - 1)] ?? 0);
    }
  }

  /** From the hello to the close, whose code it gives. */
  #connection(hello: Hello, onfirst: () => void): Promise<number> {
    const wire = this.#world.open();
    let heard = false;
    return new Promise((resolve) => {
      wire.onopen = () => {
        if (this.#closed) return wire.close();
        this.#wire = wire;
        wire.send(JSON.stringify({ hello }));
      };
      wire.onmessage = ({ data }) => {
        if (this.#closed) return;
        const frame = typeof data === 'string' ? readFrame(data) : undefined;
        if (frame === undefined) return;
        if (!heard) {
          heard = true;
          onfirst();
          this.#owner.connected(true);
        }
        if (frame.kind === 'answer') {
          this.#unanswered
            .get(frame.id)
            ?.settle(
              frame.error === undefined
                ? { ok: frame.ok ?? {} }
                : { error: new CommandError(frame.error.code, frame.error.message) },
            );
        } else {
          this.#owner.frame(frame);
        }
      };
      wire.onclose = ({ code }) => {
        wire.onopen = wire.onmessage = wire.onclose = null;
        this.#lose();
        if (heard && !this.#closed) this.#owner.connected(false);
        resolve(code);
      };
    });
  }

  #lose(): void {
    this.#wire = undefined;
    const error = new CommandError('disconnected', 'the connection to the meeting was lost');
    for (const { settle } of [...this.#unanswered.values()]) settle({ error });
  }

  #end(why: 'replaced' | 'refused'): void {
    this.#closed = true;
    this.#owner.ended(why);
  }
}

/** The way to a room's meeting in the browser. */
export function meetingWire(room: string): Wire {
  const origin = location.origin.replace(/^http/, 'ws');
  return new WebSocket(`${origin}/api/rooms/${encodeURIComponent(room)}/meeting`) as Wire;
}
