// SPDX-License-Identifier: EUPL-1.2
/** What the page and the worker that changes its pictures tell each other. */
import type { Look } from './choice.ts';

export type ToWorker =
  /** With streams the worker takes pictures from one and puts them into the other; without, it asks for each. */
  | {
      kind: 'start';
      kernels: ArrayBuffer;
      network: ArrayBuffer;
      look: Look;
      budgetMs: number;
      streams?: { pictures: ReadableStream<VideoFrame>; changed: WritableStream<VideoFrame> } | undefined;
    }
  | { kind: 'look'; look: Look }
  | { kind: 'picture'; picture: ImageBitmap };

export type FromWorker =
  | { kind: 'ready' }
  /** It is time for a picture. */
  | { kind: 'want' }
  | { kind: 'changed'; picture: ImageBitmap }
  /** It has been too slow for too long; it stops. */
  | { kind: 'slow' }
  | { kind: 'failed'; reason: string };
