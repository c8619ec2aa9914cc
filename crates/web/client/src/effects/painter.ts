// SPDX-License-Identifier: EUPL-1.2
/**
 * Changes pictures beside the page, so that the page stays quick. It compiles the kernels itself: Firefox hands no compiled module to a
 * worker that may not compile. A worker has the policy of its own file, and the server knows this one by its name (crates/web/src/lib.rs).
 */
import { Compositor } from './compose.ts';
import { LoadGuard } from './guard.ts';
import { type Kernels, Network } from './network.ts';
import type { FromWorker, ToWorker } from './wire.ts';

/** How often a picture is asked for where the browser has no streams of them. A page's own timers are slowed down in a hidden tab. */
const ASK_MS = 1_000 / 24;

interface Scope {
  postMessage(message: FromWorker, transfer?: Transferable[]): void;
  addEventListener(name: 'message', listener: (event: MessageEvent<ToWorker>) => void): void;
  close(): void;
}
const scope = self as unknown as Scope;
const say = (message: FromWorker, transfer?: Transferable[]) => scope.postMessage(message, transfer);

let compositor: Compositor | undefined;
let budgetMs = 0;
const guard = new LoadGuard(() => performance.now());
/** The first picture is slow: the browser makes its best of the code only after a while. */
let warm = false;

scope.addEventListener('message', ({ data }) => {
  try {
    if (data.kind === 'start') start(data).catch(failed);
    else if (data.kind === 'look' && compositor !== undefined) compositor.look = data.look;
    else if (data.kind === 'picture') answer(data.picture);
  } catch (error) {
    failed(error);
  }
});

async function start(wish: Extract<ToWorker, { kind: 'start' }>): Promise<void> {
  const { exports } = (await WebAssembly.instantiate(wish.kernels, {})).instance;
  compositor = new Compositor(new Network(wish.network, exports as unknown as Kernels), wish.look);
  budgetMs = wish.budgetMs;
  say({ kind: 'ready' });
  if (wish.streams === undefined) setInterval(() => say({ kind: 'want' }), ASK_MS);
  else await pump(wish.streams.pictures.getReader(), wish.streams.changed.getWriter());
}

/** Until the camera ends. What came while a picture was made is left out by the browser, which keeps the newest alone. */
async function pump(reader: ReadableStreamDefaultReader<VideoFrame>, writer: WritableStreamDefaultWriter<VideoFrame>): Promise<void> {
  for (;;) {
    const { value: frame, done } = await reader.read();
    if (done) break;
    const { timestamp, displayWidth, displayHeight } = frame;
    let changed: VideoFrame | undefined;
    try {
      changed = timed(() => new VideoFrame(drawn(frame, displayWidth, displayHeight), { timestamp }));
    } finally {
      frame.close();
    }
    if (changed === undefined) break;
    await writer.write(changed);
  }
  await Promise.allSettled([reader.cancel(), writer.close()]);
}

function answer(picture: ImageBitmap): void {
  const changed = timed(() => drawn(picture, picture.width, picture.height).transferToImageBitmap());
  picture.close();
  if (changed !== undefined) say({ kind: 'changed', picture: changed }, [changed]);
}

function drawn(picture: CanvasImageSource, width: number, height: number): OffscreenCanvas {
  if (compositor === undefined) throw new Error('a picture came before the start');
  return compositor.draw(picture, width, height);
}

/** Nothing once it has been too slow for too long. */
function timed<T>(work: () => T): T | undefined {
  const from = performance.now();
  const done = work();
  const slow = warm && guard.spent(performance.now() - from, budgetMs);
  warm = true;
  if (slow) say({ kind: 'slow' });
  return slow ? undefined : done;
}

function failed(error: unknown): void {
  say({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
  scope.close();
}
