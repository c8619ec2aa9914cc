// SPDX-License-Identifier: EUPL-1.2
/**
 * Runs a small picture network on the kernels (kernels.as): lays its tensors out in their memory once, and makes of the file a list
 * of steps. It knows the operations that the network of ours asks for. One that it does not know ends the loading, in words.
 */
import { type Graph, type Operation, readGraph } from './tflite.ts';

type Kernel = (...numbers: number[]) => void;
export interface Kernels {
  memory: WebAssembly.Memory;
  pointwise: Kernel;
  conv: Kernel;
  depthwise: Kernel;
  transposed: Kernel;
  combine: Kernel;
  each: Kernel;
  mean: Kernel;
  resize: Kernel;
}

/** A picture in the kernels' memory. */
interface Place {
  at: number;
  height: number;
  width: number;
  /** As the file counts them, and as they are stored. */
  channels: number;
  stored: number;
}

const PAGE_BYTES = 65_536;
/** What a network may take. Ours takes about a third. */
const MAX_BYTES = 96 * 1024 * 1024;

// Of the format's list.
const ADD = 0;
const AVERAGE_POOL = 1;
const CONV = 3;
const DEPTHWISE = 4;
const DEQUANTIZE = 6;
const FULLY_CONNECTED = 9;
const LOGISTIC = 14;
const MUL = 18;
const RELU = 19;
const RELU6 = 21;
const RESHAPE = 22;
const RESIZE_BILINEAR = 23;
const MEAN = 40;
const HARD_SWISH = 117;
const TRANSPOSED = 'Convolution2DTransposeBias';

const padded = (channels: number) => (channels + 3) & ~3;

export class Network {
  /** Of the picture that it looks at, and of the mask that it makes. */
  readonly width: number;
  readonly height: number;
  readonly #kernels: Kernels;
  readonly #graph: Graph;
  readonly #places = new Map<number, Place>();
  readonly #constants = new Map<number, Float32Array>();
  readonly #steps: (() => void)[] = [];
  readonly #input: Place;
  readonly #output: Place;
  /** The first page is left to the compiler of the kernels. */
  #end = PAGE_BYTES;

  constructor(file: ArrayBuffer, kernels: Kernels) {
    this.#kernels = kernels;
    this.#graph = readGraph(file);
    this.#input = this.#place(this.#graph.inputs[0] ?? -1);
    for (const operation of this.#graph.operations) this.#add(operation);
    this.#output = this.#place(this.#graph.outputs[0] ?? -1);
    const { width, height, channels } = this.#input;
    if (channels !== 3 || this.#output.channels !== 1 || this.#output.width !== width || this.#output.height !== height) {
      throw new Error('the network does not make one mask of one picture');
    }
    this.width = width;
    this.height = height;
  }

  /** How likely each pixel of the picture is a person, from 0 to 1. The picture is of the network's own size. */
  run(rgba: Uint8ClampedArray): Float32Array {
    const pixels = this.width * this.height;
    const input = this.#numbers(this.#input);
    for (let i = 0; i < pixels * 4; i += 4) {
      for (let c = 0; c < 3; c++) input[i + c] = (rgba[i + c] ?? 0) / 255;
    }
    for (const step of this.#steps) step();
    const output = this.#numbers(this.#output);
    return Float32Array.from({ length: pixels }, (_, i) => output[4 * i] ?? 0);
  }

  #add(operation: Operation): void {
    const { code, inputs, options, custom } = operation;
    const [first = -1, second = -1, third = -1] = inputs;
    const result = operation.outputs[0] ?? -1;
    const k = this.#kernels;
    switch (code) {
      case DEQUANTIZE:
        this.#constants.set(result, this.#constant(first));
        return;
      case CONV:
      case FULLY_CONNECTED: {
        const [x, y] = [this.#place(first), this.#place(result)];
        const [kh, kw] = code === CONV ? this.#kernelOf(second) : [1, 1];
        if (code === CONV && (options.int(4, 1) !== 1 || options.int(5, 1) !== 1)) throw new Error('the network asks for a dilated convolution');
        const weights = this.#weights(second, kh, kw, x, y);
        const bias = this.#channels(third, y.stored);
        const act = code === CONV ? options.byte(3) : options.byte(0);
        const [sx, sy] = code === CONV ? [options.int(1, 1), options.int(2, 1)] : [1, 1];
        if (kh === 1 && kw === 1 && sx === 1 && sy === 1) {
          const pixels = y.height * y.width;
          this.#steps.push(() => k.pointwise(x.at, weights, bias, y.at, pixels, x.stored, y.stored, act));
          return;
        }
        const [top, left] = code === CONV && options.byte(0) === 0 ? [before(x.height, y.height, kh, sy), before(x.width, y.width, kw, sx)] : [0, 0];
        this.#steps.push(() =>
          k.conv(x.at, weights, bias, y.at, x.height, x.width, x.stored, y.height, y.width, y.stored, kh, kw, sy, sx, top, left, act),
        );
        return;
      }
      case DEPTHWISE: {
        const [x, y] = [this.#place(first), this.#place(result)];
        const [kh, kw] = this.#kernelOf(second);
        if (x.channels !== y.channels || options.int(5, 1) !== 1 || options.int(6, 1) !== 1) throw new Error('the network asks for an unknown depthwise convolution');
        const weights = this.#store(spread(this.#constant(second), x.channels));
        const bias = this.#channels(third, y.stored);
        const [sx, sy, act] = [options.int(1, 1), options.int(2, 1), options.byte(4)];
        const [top, left] = options.byte(0) === 0 ? [before(x.height, y.height, kh, sy), before(x.width, y.width, kw, sx)] : [0, 0];
        this.#steps.push(() => k.depthwise(x.at, weights, bias, y.at, x.height, x.width, x.stored, y.height, y.width, kh, kw, sy, sx, top, left, act));
        return;
      }
      case TRANSPOSED: {
        const [x, y] = [this.#place(first), this.#place(result)];
        const [kh, kw] = this.#kernelOf(second);
        const [, sx = 1, sy = 1] = custom;
        const weights = this.#weights(second, kh, kw, x, y);
        const bias = this.#channels(third, y.stored);
        // As many as the convolution that it turns around would have had beyond the edge.
        const [top, left] = [before(y.height, x.height, kh, sy), before(y.width, x.width, kw, sx)];
        this.#steps.push(() => k.transposed(x.at, weights, bias, y.at, x.height, x.width, x.stored, y.height, y.width, y.stored, kh, kw, sy, sx, top, left));
        return;
      }
      case ADD:
      case MUL:
        return this.#combine(first, second, result, code === ADD ? 0 : 1, options.byte(0));
      case RELU:
      case RELU6:
      case HARD_SWISH: {
        const [x, y] = [this.#place(first), this.#place(result)];
        const kind = code === HARD_SWISH ? 2 : code === RELU ? 1 : 3;
        this.#steps.push(() => k.each(x.at, y.at, sizeOf(y), kind));
        return;
      }
      case LOGISTIC: {
        const [x, y] = [this.#place(first), this.#place(result)];
        this.#steps.push(() => {
          const [from, to] = [this.#numbers(x), this.#numbers(y)];
          for (let i = 0; i < to.length; i++) to[i] = i % x.stored < x.channels ? 1 / (1 + Math.exp(-(from[i] ?? 0))) : 0;
        });
        return;
      }
      case AVERAGE_POOL:
      case MEAN: {
        const [x, y] = [this.#place(first), this.#place(result)];
        if (y.height * y.width !== 1) throw new Error('the network asks for a mean of parts of a picture');
        this.#steps.push(() => k.mean(x.at, y.at, x.height * x.width, x.stored));
        return;
      }
      case RESIZE_BILINEAR: {
        const [x, y] = [this.#place(first), this.#place(result)];
        const [corners, centres] = [options.byte(2), options.byte(3)];
        this.#steps.push(() => k.resize(x.at, y.at, x.height, x.width, y.height, y.width, x.stored, corners, centres));
        return;
      }
      case RESHAPE: {
        const [x, y] = [this.#place(first), shaped(this.#graph.tensors[result]?.shape ?? [])];
        if (sizeOf(x) !== sizeOf(y) || x.channels !== y.channels) throw new Error('the network asks for another order of its numbers');
        this.#places.set(result, { ...y, at: x.at });
        return;
      }
      default:
        throw new Error(`the network asks for operation ${code}, which is not known here`);
    }
  }

  #combine(first: number, second: number, result: number, kind: number, act: number): void {
    const k = this.#kernels;
    const y = this.#place(result);
    // The one that changes from pixel to pixel comes first.
    const swap = this.#isConstant(first) || sizeOf(shaped(this.#graph.tensors[first]?.shape ?? [])) < sizeOf(y);
    const [one, other] = swap ? [second, first] : [first, second];
    const x = this.#place(one);
    if (sizeOf(x) !== sizeOf(y)) throw new Error('the network combines pictures of different sizes');
    let [at, step] = [0, 0];
    if (this.#isConstant(other)) {
      at = this.#channels(other, y.stored, y.channels);
    } else {
      const z = this.#place(other);
      if (z.channels !== y.channels) throw new Error('the network combines pictures of different channels');
      at = z.at;
      step = sizeOf(z) === sizeOf(y) ? y.stored : 0;
      if (step === 0 && z.height * z.width !== 1) throw new Error('the network combines pictures of different sizes');
    }
    this.#steps.push(() => k.combine(x.at, at, y.at, y.height * y.width, y.stored, step, kind, act));
  }

  #isConstant(tensor: number): boolean {
    return this.#constants.has(tensor) || this.#graph.tensors[tensor]?.constant !== undefined;
  }

  #constant(tensor: number): Float32Array {
    const found = this.#constants.get(tensor) ?? this.#graph.tensors[tensor]?.constant;
    if (found === undefined) throw new Error(`the network's tensor ${tensor} should hold weights`);
    return found;
  }

  #kernelOf(weights: number): [number, number] {
    const shape = this.#graph.tensors[weights]?.shape ?? [];
    if (shape.length !== 4) throw new Error(`the network's weights ${weights} are those of no convolution`);
    return [shape[1] ?? 1, shape[2] ?? 1];
  }

  /** Weights that the file has by output, row, column, input, laid out as the kernels have them. */
  #weights(tensor: number, kh: number, kw: number, x: Place, y: Place): number {
    const from = this.#constant(tensor);
    const to = new Float32Array(kh * kw * x.stored * y.stored);
    if (from.length !== y.channels * kh * kw * x.channels) throw new Error(`the network's weights ${tensor} do not fit`);
    let at = 0;
    for (let o = 0; o < y.channels; o++) {
      for (let tap = 0; tap < kh * kw; tap++) {
        for (let i = 0; i < x.channels; i++) to[(tap * x.stored + i) * y.stored + o] = from[at++] ?? 0;
      }
    }
    return this.#store(to);
  }

  /** One number for each channel: as they are, one for all, or none where there is no tensor. */
  #channels(tensor: number, stored: number, channels = stored): number {
    const to = new Float32Array(stored);
    if (tensor >= 0) {
      const from = this.#constant(tensor);
      if (from.length === 1) to.fill(from[0] ?? 0, 0, channels);
      else if (from.length <= stored) to.set(from);
      else throw new Error(`the network's tensor ${tensor} has more numbers than channels`);
    }
    return this.#store(to);
  }

  #place(tensor: number): Place {
    let place = this.#places.get(tensor);
    if (place === undefined) {
      const shape = this.#graph.tensors[tensor]?.shape;
      if (shape === undefined) throw new Error(`the network has no tensor ${tensor}`);
      place = shaped(shape);
      place.at = this.#take(sizeOf(place));
      this.#places.set(tensor, place);
    }
    return place;
  }

  #store(numbers: Float32Array): number {
    const at = this.#take(numbers.length);
    new Float32Array(this.#kernels.memory.buffer, at, numbers.length).set(numbers);
    return at;
  }

  #take(numbers: number): number {
    const at = this.#end;
    this.#end += (numbers * 4 + 15) & ~15;
    if (!(this.#end <= MAX_BYTES)) throw new Error('the network takes more memory than it may');
    const { memory } = this.#kernels;
    const lacking = this.#end - memory.buffer.byteLength;
    if (lacking > 0) memory.grow(Math.ceil(lacking / PAGE_BYTES));
    return at;
  }

  /** Anew each time: memory that has grown is another buffer. */
  #numbers(place: Place): Float32Array {
    return new Float32Array(this.#kernels.memory.buffer, place.at, sizeOf(place));
  }
}

/** How many numbers a picture takes. */
function sizeOf({ height, width, stored }: Place): number {
  return height * width * stored;
}

/** One picture of a batch of one; what has no height and width is a single pixel. */
function shaped(shape: number[]): Place {
  const [batch = 1, height = 1, width = 1, channels = 1] = shape.length === 2 ? [shape[0], 1, 1, shape[1]] : shape;
  if (shape.length > 4 || batch !== 1 || shape.some((size) => size < 1)) throw new Error(`the network has a tensor of the shape ${shape.join(' × ')}`);
  return { at: 0, height, width, channels, stored: padded(channels) };
}

/** Each channel's place is filled up, as in pictures. */
function spread(numbers: Float32Array, channels: number): Float32Array {
  const stored = padded(channels);
  const to = new Float32Array((numbers.length / channels) * stored);
  for (let i = 0; i < numbers.length; i++) to[Math.floor(i / channels) * stored + (i % channels)] = numbers[i] ?? 0;
  return to;
}

/** How many pixels beyond the edge come first, where a picture of `from` becomes one of `to` ("same" padding). */
function before(from: number, to: number, kernel: number, stride: number): number {
  return Math.max(0, (to - 1) * stride + kernel - from) >> 1;
}
