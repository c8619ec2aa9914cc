// SPDX-License-Identifier: EUPL-1.2
/** The server's end of a meeting's socket, driven by the test. */
import type { Json } from '../src/meeting/protocol.ts';
import type { Wire } from '../src/meeting/socket.ts';

export const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

export class FakeWire implements Wire {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  readonly sent: Json[] = [];
  closed = false;

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Json);
  }
  close(): void {
    this.drop(1000);
  }
  drop(code: number): void {
    if (this.closed) return;
    this.closed = true;
    this.onclose?.({ code });
  }
  say(frame: Json | string): void {
    this.onmessage?.({ data: typeof frame === 'string' ? frame : JSON.stringify(frame) });
  }
  get last(): Json | undefined {
    return this.sent.at(-1);
  }
  answer(ok: Json): void {
    this.say({ answer: { id: this.last?.id, ok } });
  }
  refuse(code: string): void {
    this.say({ answer: { id: this.last?.id, error: { code, message: code } } });
  }
}

/** Sockets in the order in which they were opened, and the pauses between them, which end when the test says so. */
export function fakeWires() {
  const wires: FakeWire[] = [];
  const pauses: { ms: number; end: () => void }[] = [];
  const open = () => {
    const wire = new FakeWire();
    wires.push(wire);
    return wire;
  };
  const pause = (ms: number) => new Promise<void>((end) => pauses.push({ ms, end }));
  /** The newest socket, open. */
  const accepted = async (): Promise<FakeWire> => {
    await settled();
    const wire = wires.at(-1);
    if (wire === undefined) throw new Error('nothing was opened');
    wire.onopen?.();
    return wire;
  };
  return { wires, pauses, open, pause, accepted };
}

export const RIGHTS = { camera: true, microphone: true, screen: true, chat: true, files: true, unmute: true };

export function snapshot(version: number, state: Json = {}): Json {
  return {
    snapshot: {
      version,
      state: {
        you: { identity: 'me', role: 'speaker', rights: RIGHTS },
        room: { title: 'Council', e2ee: false, owner: true, policy: { chat: 'all', self_unmute: true, reactions: true } },
        members: { roles: { ada: 'owner' }, spotlight: [], viewers: 0, banned: [] },
        chat: { messages: [] },
        hands: { queue: [] },
        polls: { polls: [] },
        breakouts: null,
        ...state,
      },
    },
  };
}

export const message = (id: number, text: string, more: Json = {}): Json => ({
  id,
  from: 'ada',
  name: 'Ada',
  at_ms: 1_700_000_000_000 + id,
  text,
  ...more,
});
