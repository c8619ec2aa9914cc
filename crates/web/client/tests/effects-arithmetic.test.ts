// SPDX-License-Identifier: EUPL-1.2
/** The arithmetic behind the effects: each kernel against the plainest form of the same, then the network and the noise whole. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { blur, follow, opacity, stencil } from '../src/effects/mask.ts';
import { type Kernels, Network } from '../src/effects/network.ts';
import { Denoiser, FRAME } from '../src/effects/rnnoise.ts';
import { half, readGraph } from '../src/effects/tflite.ts';

const ROOT = new URL('..', import.meta.url);
const read = (path: string) => Uint8Array.from(readFileSync(new URL(path, ROOT))).buffer;
const compiled = new WebAssembly.Module(read('compiled/kernels.wasm'));
const newKernels = () => new WebAssembly.Instance(compiled).exports as unknown as Kernels;
const NETWORK = read('node_modules/@mediapipe/selfie_segmentation/selfie_segmentation_landscape.tflite');

/** The same numbers each time, between -1 and 1. */
function numbers(count: number, seed = 1): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    return state / 0x3fffffff - 1;
  });
}

/** Puts numbers into a kernel's memory, one array after the other, and gives their places. */
function bench(...arrays: Float32Array[]) {
  const kernels = newKernels();
  kernels.memory.grow(8);
  let at = 65_536;
  const places = arrays.map((array) => {
    const place = at;
    new Float32Array(kernels.memory.buffer, place, array.length).set(array);
    at += array.length * 4;
    return place;
  });
  return { kernels, places: places as [number, number, number, number], take: (place: number, count: number) => new Float32Array(kernels.memory.buffer, place, count).slice() };
}

function close(found: Float32Array, wanted: Float32Array): void {
  expect(found.length).toBe(wanted.length);
  const worst = found.reduce((most, value, i) => Math.max(most, Math.abs(value - (wanted[i] ?? NaN))), 0);
  expect(worst).toBeLessThan(1e-4);
}

describe('kernels', () => {
  const [ih, iw, ic, oc] = [7, 5, 8, 12];

  function plainConv(x: Float32Array, w: Float32Array, b: Float32Array, oh: number, ow: number, kh: number, kw: number, s: number, top: number, left: number) {
    const y = new Float32Array(oh * ow * oc);
    for (let oy = 0; oy < oh; oy++)
      for (let ox = 0; ox < ow; ox++)
        for (let o = 0; o < oc; o++) {
          let sum = b[o] ?? 0;
          for (let ky = 0; ky < kh; ky++)
            for (let kx = 0; kx < kw; kx++) {
              const [iy, ix] = [oy * s + ky - top, ox * s + kx - left];
              if (iy < 0 || ix < 0 || iy >= ih || ix >= iw) continue;
              for (let i = 0; i < ic; i++) sum += (x[(iy * iw + ix) * ic + i] ?? 0) * (w[((ky * kw + kx) * ic + i) * oc + o] ?? 0);
            }
          y[(oy * ow + ox) * oc + o] = Math.max(0, sum);
        }
    return y;
  }

  test('a convolution of one by one, with a rest of pixels', () => {
    const [x, w, b] = [numbers(ih * iw * ic), numbers(ic * oc, 2), numbers(oc, 3)];
    const { kernels, places, take } = bench(x, w, b, new Float32Array(ih * iw * oc));
    kernels.pointwise(...places, ih * iw, ic, oc, 1);
    close(take(places[3], ih * iw * oc), plainConv(x, w, b, ih, iw, 1, 1, 1, 0, 0));
  });

  test('a convolution of three by three in steps of two, over the edge', () => {
    const [x, w, b] = [numbers(ih * iw * ic), numbers(9 * ic * oc, 2), numbers(oc, 3)];
    const { kernels, places, take } = bench(x, w, b, new Float32Array(4 * 3 * oc));
    kernels.conv(...places, ih, iw, ic, 4, 3, oc, 3, 3, 2, 2, 1, 1, 1);
    close(take(places[3], 4 * 3 * oc), plainConv(x, w, b, 4, 3, 3, 3, 2, 1, 1));
  });

  test('a depthwise convolution, over the edge', () => {
    const [x, w, b] = [numbers(ih * iw * ic), numbers(25 * ic, 2), numbers(ic, 3)];
    const { kernels, places, take } = bench(x, w, b, new Float32Array(ih * iw * ic));
    kernels.depthwise(...places, ih, iw, ic, ih, iw, 5, 5, 1, 1, 2, 2, 0);
    const wanted = new Float32Array(ih * iw * ic);
    for (let at = 0; at < wanted.length; at++) {
      const [c, ox, oy] = [at % ic, Math.floor(at / ic) % iw, Math.floor(at / ic / iw)];
      let sum = b[c] ?? 0;
      for (let k = 0; k < 25; k++) {
        const [iy, ix] = [oy + Math.floor(k / 5) - 2, ox + (k % 5) - 2];
        if (iy >= 0 && ix >= 0 && iy < ih && ix < iw) sum += (x[(iy * iw + ix) * ic + c] ?? 0) * (w[k * ic + c] ?? 0);
      }
      wanted[at] = sum;
    }
    close(take(places[3], wanted.length), wanted);
  });

  test('a transposed convolution doubles a picture', () => {
    const [x, w, b] = [numbers(ih * iw * ic), numbers(4 * ic * oc, 2), numbers(oc, 3)];
    const { kernels, places, take } = bench(x, w, b, new Float32Array(4 * ih * iw * oc));
    kernels.transposed(...places, ih, iw, ic, 2 * ih, 2 * iw, oc, 2, 2, 2, 2, 0, 0);
    const wanted = new Float32Array(4 * ih * iw * oc);
    for (let at = 0; at < wanted.length; at++) {
      const [o, ox, oy] = [at % oc, Math.floor(at / oc) % (2 * iw), Math.floor(at / oc / (2 * iw))];
      let sum = b[o] ?? 0;
      for (let i = 0; i < ic; i++) sum += (x[((oy >> 1) * iw + (ox >> 1)) * ic + i] ?? 0) * (w[(((oy & 1) * 2 + (ox & 1)) * ic + i) * oc + o] ?? 0);
      wanted[at] = sum;
    }
    close(take(places[3], wanted.length), wanted);
  });

  test('twice as large, by the centres of pixels: the ends stay, the middle is between', () => {
    const x = new Float32Array([0, 0, 0, 0, 4, 4, 4, 4]);
    const { kernels, places, take } = bench(x, new Float32Array(16));
    kernels.resize(places[0], places[1], 1, 2, 1, 4, 4, 0, 1);
    close(take(places[1], 16), new Float32Array([0, 1, 3, 4].flatMap((each) => [each, each, each, each])));
  });

  test('sums, products by channel, means and gates', () => {
    const [x, z] = [numbers(3 * 4), numbers(4, 2)];
    const { kernels, places, take } = bench(x, z, new Float32Array(12));
    const [at, by, to] = places;
    kernels.combine(at, by, to, 3, 4, 0, 1, 0);
    close(take(to, 12), x.map((each, i) => each * (z[i % 4] ?? 0)));
    kernels.combine(at, at, to, 3, 4, 4, 0, 3);
    close(take(to, 12), x.map((each) => Math.min(6, Math.max(0, 2 * each))));
    kernels.mean(at, to, 3, 4);
    close(take(to, 4), new Float32Array([0, 1, 2, 3].map((c) => ((x[c] ?? 0) + (x[4 + c] ?? 0) + (x[8 + c] ?? 0)) / 3)));
    kernels.each(at, to, 12, 2);
    close(take(to, 12), x.map((each) => (each * Math.min(6, Math.max(0, each + 3))) / 6));
  });
});

describe('the network', () => {
  const network = new Network(NETWORK, newKernels());
  const { width, height } = network;
  const picture = (colour: (x: number, y: number) => [number, number, number]) => {
    const rgba = new Uint8ClampedArray(width * height * 4);
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) rgba.set([...colour(x / width, y / height), 255], (y * width + x) * 4);
    return rgba;
  };
  const meanOf = (mask: Float32Array, inside: (x: number, y: number) => boolean) => {
    const found = [...mask.keys()].filter((i) => inside((i % width) / width, Math.floor(i / width) / height));
    return found.reduce((sum, i) => sum + (mask[i] ?? NaN), 0) / found.length;
  };

  test('finds nobody in an empty room', () => {
    const mask = network.run(picture((x) => [90 + 60 * x, 120, 140]));
    expect(mask.length).toBe(width * height);
    expect(meanOf(mask, () => true)).toBeLessThan(0.1);
  });

  test('finds a drawn head and its shoulders, and the wall beside them not', () => {
    const head = (x: number, y: number) => ((x - 0.5) / 0.09) ** 2 + ((y - 0.38) / 0.21) ** 2 < 1;
    const body = (x: number, y: number) => ((x - 0.5) / 0.25) ** 2 + ((y - 1.02) / 0.42) ** 2 < 1;
    const hair = (x: number, y: number) => ((x - 0.5) / 0.1) ** 2 + ((y - 0.3) / 0.18) ** 2 < 1 && y < 0.27;
    const eye = (x: number, y: number) => ((Math.abs(x - 0.5) - 0.035) / 0.012) ** 2 + ((y - 0.37) / 0.018) ** 2 < 1;
    const mouth = (x: number, y: number) => ((x - 0.5) / 0.035) ** 2 + ((y - 0.49) / 0.015) ** 2 < 1;
    const mask = network.run(
      picture((x, y) => (eye(x, y) ? [40, 30, 30] : mouth(x, y) ? [170, 70, 70] : hair(x, y) ? [60, 40, 25] : head(x, y) ? [224, 172, 140] : body(x, y) ? [40, 60, 110] : [205, 210, 205])),
    );
    expect(meanOf(mask, (x, y) => head(x, y) && y > 0.3 && y < 0.5)).toBeGreaterThan(0.8);
    expect(meanOf(mask, (x, y) => ((x - 0.5) / 0.2) ** 2 + ((y - 1.0) / 0.3) ** 2 < 1)).toBeGreaterThan(0.8);
    expect(meanOf(mask, (x) => x < 0.2 || x > 0.8)).toBeLessThan(0.1);
  });

  test('a file that is cut short, or is none, is refused in words', () => {
    expect(() => new Network(new ArrayBuffer(100), newKernels())).toThrow('no TensorFlow Lite file');
    expect(() => new Network(NETWORK.slice(0, 20_000), newKernels())).toThrow();
    const graph = readGraph(NETWORK);
    expect(graph.inputs.length).toBe(1);
    expect(graph.tensors[graph.inputs[0] ?? -1]?.shape).toEqual([1, height, width, 3]);
  });

  test('half precision', () => {
    expect([0x3c00, 0xc000, 0x0001, 0x7bff, 0x8000].map(half)).toEqual([1, -2, 2 ** -24, 65504, -0]);
  });
});

describe('the mask', () => {
  test('is certain at both ends, and goes to what is seen within a few pictures', () => {
    expect([0, 0.3, 0.5, 0.7, 1].map(opacity)).toEqual([0, 0, 128, 255, 255]);
    const mask = new Float32Array([0]);
    for (let i = 0; i < 4; i++) follow(mask, new Float32Array([1]));
    expect(mask[0]).toBeGreaterThan(0.97);
    follow(mask, new Float32Array([0]));
    expect(mask[0]).toBeGreaterThan(0.3);
    const rgba = new Uint8ClampedArray([9, 9, 9, 9]);
    stencil(new Float32Array([1]), rgba);
    expect([...rgba]).toEqual([9, 9, 9, 255]);
  });

  test('a blur takes fine lines away, and nothing of the person into what is behind', () => {
    const [width, height] = [80, 45];
    const from = new Uint8ClampedArray(width * height * 4);
    const mask = new Float32Array(width * height);
    for (let i = 0; i < width * height; i++) {
      const person = i % width >= 60;
      mask[i] = person ? 1 : 0;
      from.set(person ? [255, 0, 0, 255] : i % 2 ? [0, 0, 0, 255] : [0, 200, 0, 255], 4 * i);
    }
    const to = new Uint8ClampedArray(from.length);
    blur(from, mask, width, height, to);
    const row = Array.from({ length: 58 }, (_, x) => [...to.slice((20 * width + x) * 4, (20 * width + x) * 4 + 4)]);
    for (const [red = 0, green = 0, , alpha] of row.slice(2)) {
      expect(red).toBeLessThan(4);
      expect(Math.abs(green - 100)).toBeLessThan(30);
      expect(alpha).toBe(255);
    }
  });
});

describe('the noise', () => {
  const level = (samples: Float32Array) => 10 * Math.log10(samples.reduce((sum, each) => sum + each * each, 0) / samples.length);

  test('steady noise falls by more than ten decibels within a second', () => {
    const denoiser = new Denoiser(new WebAssembly.Module(read('node_modules/@jitsi/rnnoise-wasm/dist/rnnoise.wasm')));
    const noise = numbers(FRAME * 200, 7).map((each) => each * 0.1);
    const clean = Float32Array.from(noise);
    for (let i = 0; i < 200; i++) denoiser.process(clean.subarray(i * FRAME, (i + 1) * FRAME));
    expect(level(noise) - level(clean.subarray(100 * FRAME))).toBeGreaterThan(10);
    expect(clean.some((each) => Number.isNaN(each))).toBe(false);
  });
});
