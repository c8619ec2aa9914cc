// SPDX-License-Identifier: EUPL-1.2
/** Reads a TensorFlow Lite file: which tensors there are, and what is done with them in which order. It computes nothing. */

export interface Tensor {
  shape: number[];
  /** The numbers themselves, of a weight; nothing where they are computed. */
  constant: Float32Array | undefined;
}

export interface Operation {
  /** A number of the format's list, or the name of one that is not on it. */
  code: number | string;
  /** Of tensors; -1 is one that was left out. */
  inputs: number[];
  outputs: number[];
  options: Table;
  /** The options of an operation that is not on the format's list. */
  custom: number[];
}

export interface Graph {
  tensors: Tensor[];
  operations: Operation[];
  inputs: number[];
  outputs: number[];
}

/** Which operation `code` means one that is named by its `custom_code`. */
const CUSTOM = 32;
const FLOAT32 = 0;
const FLOAT16 = 1;

/** A table of the FlatBuffers encoding. A field that is not there has its default. */
export class Table {
  readonly #view: DataView;
  readonly #at: number;

  constructor(view: DataView, at: number) {
    this.#view = view;
    this.#at = at;
  }

  byte(field: number, otherwise = 0): number {
    const at = this.#field(field);
    return at === 0 ? otherwise : this.#view.getInt8(at);
  }

  int(field: number, otherwise = 0): number {
    const at = this.#field(field);
    return at === 0 ? otherwise : this.#view.getInt32(at, true);
  }

  table(field: number): Table | undefined {
    const at = this.#field(field);
    return at === 0 ? undefined : new Table(this.#view, this.#follow(at));
  }

  tables(field: number): Table[] {
    const { at, length } = this.#vector(field);
    return Array.from({ length }, (_, i) => new Table(this.#view, this.#follow(at + 4 * i)));
  }

  ints(field: number): number[] {
    const { at, length } = this.#vector(field);
    return Array.from({ length }, (_, i) => this.#view.getInt32(at + 4 * i, true));
  }

  bytes(field: number): Uint8Array {
    const { at, length } = this.#vector(field);
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + at, length);
  }

  #field(field: number): number {
    const list = this.#at - this.#view.getInt32(this.#at, true);
    const slot = 4 + 2 * field;
    if (slot >= this.#view.getUint16(list, true)) return 0;
    const offset = this.#view.getUint16(list + slot, true);
    return offset === 0 ? 0 : this.#at + offset;
  }

  #vector(field: number): { at: number; length: number } {
    const at = this.#field(field);
    if (at === 0) return { at: 0, length: 0 };
    const vector = this.#follow(at);
    return { at: vector + 4, length: this.#view.getUint32(vector, true) };
  }

  #follow(at: number): number {
    return at + this.#view.getUint32(at, true);
  }
}

/** Throws for a file that is none of these, or is cut short. */
export function readGraph(file: ArrayBuffer): Graph {
  const view = new DataView(file);
  if (file.byteLength < 8 || view.getUint32(4) !== 0x54464c33) throw new Error('the network is no TensorFlow Lite file of version 3');
  const model = new Table(view, view.getUint32(0, true));
  const codes = model.tables(1).map((code) => {
    // Numbers above 127 came later, in a field of their own.
    const number = Math.max(code.byte(0), code.int(3));
    return number === CUSTOM ? new TextDecoder().decode(code.bytes(1)) : number;
  });
  const buffers = model.tables(4);
  const [graph, ...more] = model.tables(2);
  if (graph === undefined || more.length > 0) throw new Error('the network has not one graph but several, or none');
  const tensors = graph.tables(0).map((tensor): Tensor => {
    const bytes = buffers[tensor.int(2)]?.bytes(0) ?? new Uint8Array();
    return { shape: tensor.ints(0), constant: bytes.length === 0 ? undefined : numbersOf(bytes, tensor.byte(1)) };
  });
  const operations = graph.tables(3).map((operation): Operation => {
    const custom = operation.bytes(5);
    const ints = new DataView(custom.buffer, custom.byteOffset, custom.byteLength);
    return {
      code: codes[operation.int(0)] ?? 'unknown',
      inputs: operation.ints(1),
      outputs: operation.ints(2),
      // None: a table in which every field has its default.
      options: operation.table(4) ?? new Table(new DataView(new Uint8Array([4, 0, 4, 0, 4, 0, 0, 0]).buffer), 4),
      custom: Array.from({ length: custom.length >> 2 }, (_, i) => ints.getInt32(4 * i, true)),
    };
  });
  return { tensors, operations, inputs: graph.ints(1), outputs: graph.ints(2) };
}

/** Weights are stored in whole or in half precision; other kinds, such as shapes, are no numbers to compute with. */
function numbersOf(bytes: Uint8Array, type: number): Float32Array | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (type === FLOAT32) return Float32Array.from({ length: bytes.length >> 2 }, (_, i) => view.getFloat32(4 * i, true));
  if (type === FLOAT16) return Float32Array.from({ length: bytes.length >> 1 }, (_, i) => half(view.getUint16(2 * i, true)));
  return undefined;
}

/** IEEE 754 binary16. */
export function half(bits: number): number {
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const size = exponent === 0 ? fraction * 2 ** -24 : exponent === 31 ? (fraction === 0 ? Infinity : NaN) : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -size : size;
}
