// SPDX-License-Identifier: EUPL-1.2
/**
 * Files from person to person in a meeting, by livekit's byte streams: nothing of them is kept on the server. What arrives is held
 * in memory up to a bound and leaves the page only when the user saves it; it is never shown as anything but a name and a size.
 */
import type { Room } from 'livekit-client';
import { Store } from '../store.ts';
import { cleanFileName } from './filename.ts';

export interface SharedFile {
  id: string;
  from: string;
  /** This person sent it. */
  own: boolean;
  name: string;
  type: string;
  size: number;
  at_ms: number;
  state: 'moving' | 'there' | 'failed' | 'too_big' | 'dropped';
  /** From 0 to 1, while it moves. */
  progress: number;
}

export const TOPIC = 'parvis.file';
/** One file. A data channel shares the network with sound and pictures. */
export const FILE_BYTES_AT_MOST = 25 * 1024 * 1024;
/** All that is held at once; the oldest give way. */
export const HELD_BYTES_AT_MOST = 100 * 1024 * 1024;
const FILES_AT_MOST = 100;

type Files = readonly SharedFile[];

/** As much of a room as is used. */
export type FileRoom = Pick<Room, 'registerByteStreamHandler'> & {
  localParticipant: Pick<Room['localParticipant'], 'sendFile' | 'identity'>;
};

export class FileDesk extends Store<Files> {
  readonly #held = new Map<string, Uint8Array<ArrayBuffer>[]>();
  #room: FileRoom | undefined;
  #lastId = 0;
  /** Of all that is on its way here. */
  #coming = 0;
  /** Whether this person may get files at all; a sender's own page is not asked. */
  readonly #open: () => boolean;
  /** In an encrypted meeting: what came in clear is not what anybody here has sent. */
  readonly #sealed: boolean;

  constructor(open: () => boolean, sealed: boolean) {
    super([]);
    this.#open = open;
    this.#sealed = sealed;
  }

  /** A room, before it connects; each new connection has one of its own. */
  use(room: FileRoom): void {
    this.#room = room;
    room.registerByteStreamHandler(TOPIC, (reader, { identity }) => {
      void this.#receive(reader, identity);
    });
  }

  async send(file: File, now: number = Date.now()): Promise<void> {
    const room = this.#room;
    if (room === undefined) return;
    const id = `own:${++this.#lastId}`;
    const entry = { id, from: room.localParticipant.identity, own: true, at_ms: now, progress: 0, ...described(file) };
    if (file.size > FILE_BYTES_AT_MOST) return this.#add({ ...entry, state: 'too_big' });
    this.#add({ ...entry, state: 'moving' });
    try {
      const onProgress = (progress: number) => this.#change(id, { progress });
      await room.localParticipant.sendFile(file, { topic: TOPIC, mimeType: entry.type, onProgress });
      this.#change(id, { state: 'there', progress: 1 });
    } catch {
      this.#change(id, { state: 'failed' });
    }
  }

  /** The content, as a thing that a browser saves and never opens. */
  blob(id: string): Blob | undefined {
    const parts = this.#held.get(id);
    return parts && new Blob(parts, { type: 'application/octet-stream' });
  }

  async #receive(reader: Parameters<Parameters<Room['registerByteStreamHandler']>[1]>[0], from: string): Promise<void> {
    const { info } = reader;
    const id = `${from}:${++this.#lastId}`;
    const size = info.size ?? 0;
    const entry = { id, from, own: false, at_ms: Date.now(), progress: 0, name: cleanFileName(info.name), type: cleanType(info.mimeType), size };
    // 0: not encrypted.
    if (!this.#open() || (this.#sealed && info.encryptionType === 0)) return drain(reader);
    if (size > FILE_BYTES_AT_MOST || info.size === undefined) {
      this.#add({ ...entry, state: 'too_big' });
      return drain(reader);
    }
    // Whoever sends very many at once fills nobody's memory.
    if (this.#coming + size > HELD_BYTES_AT_MOST) {
      this.#add({ ...entry, state: 'dropped' });
      return drain(reader);
    }
    this.#coming += size;
    this.#add({ ...entry, state: 'moving' });
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let held = 0;
    try {
      for await (const part of reader) {
        held += part.byteLength;
        // More than it said: what it said is no bound then.
        if (held > size) throw new Error('larger than announced');
        parts.push(new Uint8Array(part));
        this.#change(id, { progress: size === 0 ? 1 : held / size });
      }
      if (held !== size) throw new Error('shorter than announced');
      this.#makeRoom(size);
      this.#held.set(id, parts);
      this.#change(id, { state: 'there', progress: 1 });
    } catch {
      this.#change(id, { state: 'failed' });
    } finally {
      this.#coming -= size;
    }
  }

  #makeRoom(size: number): void {
    const bytes = (parts: Uint8Array[]) => parts.reduce((sum, part) => sum + part.byteLength, 0);
    let held = [...this.#held.values()].reduce((sum, parts) => sum + bytes(parts), 0);
    for (const [id, parts] of this.#held) {
      if (held + size <= HELD_BYTES_AT_MOST) return;
      held -= bytes(parts);
      this.#held.delete(id);
      this.#change(id, { state: 'dropped' });
    }
  }

  #add(file: SharedFile): void {
    const files = [...this.value, file];
    for (const old of files.splice(0, Math.max(0, files.length - FILES_AT_MOST))) this.#held.delete(old.id);
    this.set(files);
  }

  #change(id: string, change: Partial<SharedFile>): void {
    this.set(this.value.map((file) => (file.id === id ? { ...file, ...change } : file)));
  }
}

/** Reads to the end and keeps nothing: what nobody reads would pile up in the stream. */
async function drain(reader: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    for await (const _ of reader) continue;
  } catch {
    // It ended early, which is as good.
  }
}

function described(file: File): Pick<SharedFile, 'name' | 'type' | 'size'> {
  return { name: cleanFileName(file.name), type: cleanType(file.type), size: file.size };
}

function cleanType(type: string): string {
  return /^[\w.+-]{1,60}\/[\w.+-]{1,80}$/.test(type) ? type : 'application/octet-stream';
}
