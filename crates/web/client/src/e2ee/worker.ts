// SPDX-License-Identifier: EUPL-1.2
/** The worker that encrypts and decrypts: the library's own, with a guard before it that makes it fail closed. */
import 'livekit-client/e2ee-worker';
import { guarded, Openings } from './guard.ts';

/** An encoded frame, as far as it matters here. */
interface Frame {
  data: ArrayBuffer;
}
interface Streams {
  readable: ReadableStream<Frame>;
  writable: WritableStream<Frame>;
}
interface Transformer extends Streams {
  options: { kind: 'encode' | 'decode'; participantIdentity: string; trackId: string };
}
interface Scope {
  onmessage: ((event: { data: unknown }) => void) | null;
  onrtctransform: ((event: { transformer: Transformer }) => void) | null | undefined;
}

const LOOK_MS = 500;

const scope = self as unknown as Scope;
// The library has set its own by now: importing it is what starts it.
const library = { message: scope.onmessage, transform: scope.onrtctransform };
const openings = new Openings((message) => postMessage(message));
/** Under which name a stream is counted; a stream may be given to another track later. */
const names = new Map<string, { track: string }>();
setInterval(() => openings.look(), LOOK_MS);

scope.onmessage = ({ data }) => {
  const message = guarded(data as { kind: string; data?: Record<string, unknown> });
  if (message === undefined) return;
  const about = message.data as Record<string, unknown> & { trackId?: string };
  let passed = message;
  if (message.kind === 'decode' || message.kind === 'encode') {
    const { readableStream: readable, writableStream: writable, participantIdentity, trackId } = about as unknown as {
      readableStream: ReadableStream<Frame>;
      writableStream: WritableStream<Frame>;
      participantIdentity: string;
      trackId: string;
    };
    encrypted(participantIdentity);
    if (message.kind === 'decode') {
      const streams = counted(trackId, { readable, writable });
      passed = { kind: 'decode', data: { ...about, readableStream: streams.readable, writableStream: streams.writable } };
    }
  } else if (message.kind === 'updateCodec') rename(about.previousTrackId as string | undefined, about.trackId);
  else if (message.kind === 'removeTransform' && about.trackId !== undefined) openings.forget(about.trackId);
  library.message?.({ data: passed });
};

if (library.transform) {
  scope.onrtctransform = ({ transformer }) => {
    const { options } = transformer;
    encrypted(options.participantIdentity);
    const streams = options.kind === 'decode' ? counted(options.trackId, transformer) : transformer;
    library.transform?.({ transformer: { options, readable: streams.readable, writable: streams.writable } });
  };
}

/** Says so before the first frame: until the library knows, it would let one's own frames out as they are. */
function encrypted(participantIdentity: string): void {
  library.message?.({ data: { kind: 'enable', data: { enabled: true, participantIdentity } } });
}

/** The same streams, with what goes in and what comes out counted. Frames without content are neither encrypted nor counted. */
function counted(track: string, { readable, writable }: Streams): Streams {
  const name = { track };
  openings.forget(track);
  names.set(track, name);
  const counter = (count: (track: string) => void) =>
    new TransformStream<Frame, Frame>({
      transform(frame, controller) {
        if (frame.data.byteLength > 0) count(name.track);
        controller.enqueue(frame);
      },
    });
  const leaving = counter((track) => openings.opened(track));
  // It ends when the track does, on either side.
  leaving.readable.pipeTo(writable).catch(() => undefined);
  return { readable: readable.pipeThrough(counter((track) => openings.arrived(track))), writable: leaving.writable };
}

function rename(before: string | undefined, track: string | undefined): void {
  const name = before === undefined ? undefined : names.get(before);
  if (before === undefined || track === undefined || name === undefined) return;
  names.delete(before);
  name.track = track;
  names.set(track, name);
  openings.renamed(before, track);
}
