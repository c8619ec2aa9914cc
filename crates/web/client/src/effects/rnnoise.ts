// SPDX-License-Identifier: EUPL-1.2
/**
 * RNNoise as its package compiles it. The file's own loader asks for what a worklet has not, so this is one of ours: it knows by which
 * letters the pinned version names its functions, and a test holds it to that.
 */

/** Of 48 kHz: ten milliseconds. */
export const FRAME = 480;

/** What RNNoise is used to: sixteen bits. */
const SCALE = 32_768;

interface Functions {
  memory: WebAssembly.Memory;
  start(): void;
  allocate(bytes: number): number;
  create(): number;
  /** Answers how likely there was a voice. */
  process(state: number, to: number, from: number): number;
}

export class Denoiser {
  readonly #is: Functions;
  readonly #state: number;
  readonly #at: number;

  constructor(compiled: WebAssembly.Module) {
    this.#is = functionsOf(compiled);
    this.#is.start();
    this.#state = this.#is.create();
    this.#at = this.#is.allocate(FRAME * 4);
    if (this.#state === 0 || this.#at === 0) throw new Error('the noise suppression has no memory');
  }

  /** In place; as many numbers as `FRAME`, from -1 to 1. */
  process(frame: Float32Array): void {
    // Anew each time: memory that has grown is another buffer.
    const numbers = () => new Float32Array(this.#is.memory.buffer, this.#at, FRAME);
    const into = numbers();
    for (let i = 0; i < FRAME; i++) into[i] = (frame[i] ?? 0) * SCALE;
    this.#is.process(this.#state, this.#at, this.#at);
    const from = numbers();
    for (let i = 0; i < FRAME; i++) frame[i] = (from[i] ?? 0) / SCALE;
  }
}

function functionsOf(compiled: WebAssembly.Module): Functions {
  const { exports } = new WebAssembly.Instance(compiled, {
    a: {
      // It asks for more memory than it begins with, and copies what is large.
      a: (bytes: number) => grown(is.memory, bytes),
      b: (to: number, from: number, bytes: number) => void new Uint8Array(is.memory.buffer).copyWithin(to, from, from + bytes),
    },
  });
  const { c: memory, d: start, f: create, g: allocate, j: process } = exports;
  const is = { memory, start, create, allocate, process } as Functions;
  if (!(memory instanceof WebAssembly.Memory) || [start, create, allocate, process].some((each) => typeof each !== 'function')) {
    throw new Error('this is not the RNNoise that the client was made for');
  }
  return is;
}

const PAGE_BYTES = 65_536;
/** One voice takes a fraction of it. */
const MAX_BYTES = 64 * 1024 * 1024;

/** Answers whether there is so much now. */
function grown(memory: WebAssembly.Memory, bytes: number): boolean {
  if (bytes > MAX_BYTES) return false;
  try {
    memory.grow(Math.ceil((bytes - memory.buffer.byteLength) / PAGE_BYTES));
    return true;
  } catch {
    return false;
  }
}
