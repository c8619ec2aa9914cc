// SPDX-License-Identifier: EUPL-1.2
/** In the audio thread: gathers the browser's short blocks to frames of RNNoise's length, and gives them back without the noise. */
import { Denoiser, FRAME } from './rnnoise.ts';

/** What the page is told: how long the frames of one second took, or that there will be none. */
export type FromNoise = { kind: 'ready' } | { kind: 'second'; busyMs: number } | { kind: 'failed'; reason: string };

// What TypeScript does not know of the audio thread.
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: new (options: { processorOptions: { bytes: ArrayBuffer } }) => AudioWorkletProcessor): void;

const FRAMES_A_SECOND = 100;

class Noise extends AudioWorkletProcessor {
  #denoiser: Denoiser | undefined;
  readonly #frame = new Float32Array(FRAME);
  /** Of the frame before: what is played while this one is gathered. */
  readonly #clean = new Float32Array(FRAME);
  #filled = 0;
  #frames = 0;
  #busyMs = 0;

  constructor({ processorOptions }: { processorOptions: { bytes: ArrayBuffer } }) {
    super();
    try {
      this.#denoiser = new Denoiser(new WebAssembly.Module(processorOptions.bytes));
      this.#say({ kind: 'ready' });
    } catch (error) {
      this.#say({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
    }
  }

  process(inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    const input = inputs[0]?.[0];
    const output = outputs[0]?.[0];
    if (output === undefined) return true;
    for (let i = 0; i < output.length; i++) {
      output[i] = this.#clean[this.#filled] ?? 0;
      this.#frame[this.#filled++] = input?.[i] ?? 0;
      if (this.#filled === FRAME) this.#turn();
    }
    return this.#denoiser !== undefined;
  }

  #turn(): void {
    this.#filled = 0;
    // Whole milliseconds are all that there is here: over a hundred frames they come out right.
    const from = Date.now();
    this.#denoiser?.process(this.#frame);
    this.#busyMs += Date.now() - from;
    this.#clean.set(this.#frame);
    if (++this.#frames < FRAMES_A_SECOND) return;
    this.#say({ kind: 'second', busyMs: this.#busyMs });
    this.#frames = this.#busyMs = 0;
  }

  #say(message: FromNoise): void {
    this.port.postMessage(message);
  }
}

registerProcessor('parvis-noise', Noise);
