// SPDX-License-Identifier: EUPL-1.2
/**
 * A camera's track made into another one, with a background that is not there. In Chromium the pictures go to the worker and come back
 * by streams that never touch the page; elsewhere the page hands each over, and the track is that of a canvas.
 */
import { ownScript } from '../trusted.ts';
import { pictureParts } from './assets.ts';
import type { Look } from './choice.ts';
import { budgetOf } from './guard.ts';
import type { FromWorker, ToWorker } from './wire.ts';
import painterUrl from './painter.ts?worker&url';

/** An effect that is at work. */
export interface Running {
  /** What comes out of it. */
  readonly track: MediaStreamTrack;
  stop(): void;
}
export interface RunningPicture extends Running {
  change(look: Look): void;
}

/** It was going, and is no more: `slow` by its own doing. */
export type Fault = 'slow' | 'failed';

/** Until the first picture could come. */
const START_MS = 15_000;

interface Streams {
  MediaStreamTrackProcessor?: new (wish: { track: MediaStreamTrack; maxBufferSize: number }) => { readable: ReadableStream<VideoFrame> };
  MediaStreamTrackGenerator?: new (wish: { kind: 'video' }) => MediaStreamTrack & { writable: WritableStream<VideoFrame> };
}

/** Whether this browser can do it at all, as far as can be asked. */
export function canChangePictures(): boolean {
  return (
    typeof WebAssembly === 'object' &&
    typeof OffscreenCanvas === 'function' &&
    typeof Worker === 'function' &&
    'captureStream' in HTMLCanvasElement.prototype
  );
}

/** Resolves once pictures can come; until then nothing of the camera's own has left it. */
export async function changePictures(camera: MediaStreamTrack, look: Look, onfault: (fault: Fault) => void): Promise<RunningPicture> {
  const { kernels, network } = await pictureParts();
  const worker = new Worker(ownScript(painterUrl), { type: 'module' });
  const tell = (message: ToWorker, transfer: Transferable[] = []) => worker.postMessage(message, transfer);
  let stopped = false;
  let way: Way | undefined;
  const stop = () => {
    stopped = true;
    worker.terminate();
    way?.close();
  };
  try {
    way = streamWay(camera) ?? (await canvasWay(camera, (picture) => tell({ kind: 'picture', picture }, [picture])));
    const { track, streams, wanted, changed } = way;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the effect did not start in time')), START_MS);
      worker.addEventListener('error', () => {
        reject(new Error('the effect did not start'));
        if (!stopped) onfault('failed');
      });
      worker.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => {
        if (stopped) return;
        if (data.kind === 'want') return wanted?.();
        if (data.kind === 'changed') return changed?.(data.picture);
        clearTimeout(timer);
        if (data.kind === 'ready') return resolve();
        // Rejecting what has been resolved does nothing, and before it there is nobody to tell.
        if (data.kind === 'failed') reject(new Error(data.reason));
        onfault(data.kind);
      });
      const budgetMs = budgetOf(camera.getSettings().frameRate);
      tell({ kind: 'start', kernels, network, look, budgetMs, streams }, streams && [streams.pictures, streams.changed]);
    });
    return { track, stop, change: (look) => tell({ kind: 'look', look }) };
  } catch (error) {
    stop();
    throw error;
  }
}

interface Way {
  track: MediaStreamTrack;
  streams?: { pictures: ReadableStream<VideoFrame>; changed: WritableStream<VideoFrame> };
  wanted?: () => void;
  changed?: (picture: ImageBitmap) => void;
  close(): void;
}

function streamWay(camera: MediaStreamTrack): Way | undefined {
  const { MediaStreamTrackProcessor: Pictures, MediaStreamTrackGenerator: Generator } = globalThis as Streams;
  if (Pictures === undefined || Generator === undefined) return undefined;
  const track = new Generator({ kind: 'video' });
  const { readable } = new Pictures({ track: camera, maxBufferSize: 1 });
  return { track, streams: { pictures: readable, changed: track.writable }, close: () => track.stop() };
}

async function canvasWay(camera: MediaStreamTrack, give: (picture: ImageBitmap) => void): Promise<Way> {
  const video = document.createElement('video');
  video.muted = true;
  video.playsInline = true;
  video.srcObject = new MediaStream([camera]);
  await video.play();
  const canvas = document.createElement('canvas');
  const { width = 640, height = 480 } = camera.getSettings();
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d');
  const [track] = canvas.captureStream().getVideoTracks();
  if (context === null || track === undefined) throw new Error('the browser gives no track of a canvas');
  let busy = false;
  let shown = -1;
  return {
    track,
    wanted() {
      // One at a time, and none twice.
      if (busy || video.readyState < video.HAVE_CURRENT_DATA || video.currentTime === shown) return;
      shown = video.currentTime;
      busy = true;
      createImageBitmap(video).then(give, () => (busy = false));
    },
    changed(picture) {
      busy = false;
      if (canvas.width !== picture.width || canvas.height !== picture.height) {
        canvas.width = picture.width;
        canvas.height = picture.height;
      }
      context.drawImage(picture, 0, 0);
      picture.close();
    },
    close() {
      track.stop();
      video.srcObject = null;
    },
  };
}
