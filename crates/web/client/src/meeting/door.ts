// SPDX-License-Identifier: EUPL-1.2
/**
 * The way into a room, as often as it is needed: by seat, by password, through the lobby. `enter` gives a ticket whenever there
 * is one in the end; what the user has to do meanwhile is the state, for a view to show.
 */
import { type Asking, type Entry, JoinError, type Ticket } from '../join.ts';
import { Store } from '../store.ts';
import type { WaitReason } from './protocol.ts';
import type { Seats } from './seats.ts';
import { MeetingSocket, type SocketWorld, type Wire } from './socket.ts';

export type DoorState =
  | { step: 'none' }
  /** The room asks for its password; `wrong` after one that was not it. */
  | { step: 'password'; wrong: boolean }
  | { step: 'waiting'; reason: WaitReason; title: string | undefined; connected: boolean };

export interface DoorWorld {
  request(asking: Asking): Promise<Entry>;
  wire(): Wire;
  pause: SocketWorld['pause'];
  seats: Pick<Seats, 'of' | 'keep'>;
}

/** Then the server knows the place no more. */
const REFUSALS_AT_MOST = 3;

export class Door extends Store<DoorState> {
  readonly #world: DoorWorld;
  readonly #room: string;
  readonly #name: string;
  /** For as long as the page is open: a lost connection is no reason to ask again. */
  #password: string | undefined;
  #waiting: { socket: MeetingSocket; reject: (error: Error) => void } | undefined;
  #typing: { resolve: (password: string) => void; reject: (error: Error) => void } | undefined;
  #gone = false;
  #entering: Promise<Ticket> | undefined;

  constructor(world: DoorWorld, room: string, name: string) {
    super({ step: 'none' });
    this.#world = world;
    this.#room = room;
    this.#name = name;
  }

  /** Rejects with a `JoinError`. Whoever calls while somebody is on the way in goes along. */
  enter(): Promise<Ticket> {
    this.#entering ??= this.#enter().finally(() => (this.#entering = undefined));
    return this.#entering;
  }

  async #enter(): Promise<Ticket> {
    for (;;) {
      try {
        const entry = await this.#ask();
        if (entry.seat !== undefined) this.#world.seats.keep(this.#room, { seat: entry.seat });
        if ('in' in entry) {
          this.set({ step: 'none' });
          return entry.in;
        }
        return await this.#wait(entry);
      } catch (error) {
        const refusal = error instanceof JoinError ? error.refusal : undefined;
        // The place outside is lost, as after a restart of the server: knock anew.
        if (error instanceof PlaceLost) continue;
        if (refusal !== 'password_needed' && refusal !== 'password_wrong') {
          this.set({ step: 'none' });
          throw error;
        }
        this.#password = undefined;
        this.set({ step: 'password', wrong: refusal === 'password_wrong' });
        this.#password = await new Promise<string>((resolve, reject) => (this.#typing = { resolve, reject }));
      }
    }
  }

  givePassword(password: string): void {
    this.#typing?.resolve(password);
    this.#typing = undefined;
  }

  /** Says something to those who let people in, in place of what was said before. Whether it came through. */
  async note(text: string): Promise<boolean> {
    try {
      await this.#waiting?.socket.command('note', { text });
      return this.#waiting !== undefined;
    } catch {
      return false;
    }
  }

  /** The user goes: what waits is given up. */
  leave(): void {
    this.#gone = true;
    const error = new JoinError('declined', 'the user left');
    this.#typing?.reject(error);
    this.#typing = undefined;
    this.#waiting?.socket.close();
    this.#waiting?.reject(error);
    this.#waiting = undefined;
    this.set({ step: 'none' });
  }

  #ask(): Promise<Entry> {
    if (this.#gone) return Promise.reject(new JoinError('declined', 'the user left'));
    const asking: Asking = { name: this.#name, ...this.#world.seats.of(this.#room) };
    if (this.#password !== undefined) asking.password = this.#password;
    return this.#world.request(asking);
  }

  #wait({ waiting, reason }: Extract<Entry, { waiting: string }>): Promise<Ticket> {
    this.set({ step: 'waiting', reason, title: undefined, connected: false });
    return new Promise((resolve, reject) => {
      const during = (change: { reason?: WaitReason; title?: string | undefined; connected?: boolean }) => {
        if (this.value.step === 'waiting') this.set({ ...this.value, ...change });
      };
      const done = () => {
        this.#waiting = undefined;
        socket.close();
      };
      const socket = new MeetingSocket(
        {
          open: () => this.#world.wire(),
          hello: async () => ({ waiting }),
          pause: (ms) => this.#world.pause(ms),
          refusalsAtMost: REFUSALS_AT_MOST,
        },
        {
          connected: (connected) => during({ connected }),
          ended: () => {
            this.#waiting = undefined;
            reject(new PlaceLost());
          },
          frame: (frame) => {
            if (frame.kind === 'waiting') during({ title: frame.title, reason: frame.reason });
            if (frame.kind === 'refused') {
              done();
              const refusal = { refused: 'declined', ended: 'ended', full: 'room_full' } as const;
              reject(new JoinError(refusal[frame.code], `the lobby: ${frame.code}`));
            }
            if (frame.kind === 'admitted') {
              done();
              const { seat, token, identity, room } = frame.admission;
              if (seat !== undefined) this.#world.seats.keep(this.#room, { seat });
              this.set({ step: 'none' });
              resolve({ token, identity, room });
            }
          },
        },
      );
      this.#waiting = { socket, reject };
    });
  }
}

/** The server knows the place in the lobby no more. */
class PlaceLost extends Error {}
