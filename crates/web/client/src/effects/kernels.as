// SPDX-License-Identifier: EUPL-1.2
/**
 * The arithmetic of a small picture network, four numbers at a time: AssemblyScript, compiled by build/kernels.mjs.
 *
 * Addresses are bytes in the memory that the caller lays out (network.ts). Every picture is rows of pixels of channels, the number of
 * channels rounded up to a multiple of four, so that there is no rest to treat by itself; what fills up is zero, and stays so.
 * Weights have the outputs last: [row][column][input][output].
 */

// As TensorFlow Lite numbers what follows an operation.
const RELU: i32 = 1;
const RELU6: i32 = 3;

@inline
function bounded(v: v128, act: i32): v128 {
  if (act == RELU) return f32x4.max(v, f32x4.splat(0.0));
  if (act == RELU6) return f32x4.min(f32x4.max(v, f32x4.splat(0.0)), f32x4.splat(6.0));
  return v;
}

/** A convolution of one by one: four pixels share each load of the weights. */
export function pointwise(x: usize, w: usize, b: usize, y: usize, n: i32, ic: i32, oc: i32, act: i32): void {
  const row: usize = usize(ic) << 2;
  const out: usize = usize(oc) << 2;
  let p: i32 = 0;
  for (; p + 4 <= n; p += 4) {
    const x0: usize = x + usize(p) * row;
    const y0: usize = y + usize(p) * out;
    for (let o: usize = 0; o < out; o += 16) {
      let a: v128 = v128.load(b + o);
      let c: v128 = a;
      let d: v128 = a;
      let e: v128 = a;
      let k: usize = w + o;
      for (let i: usize = x0; i < x0 + row; i += 4) {
        const weight: v128 = v128.load(k);
        a = f32x4.add(a, f32x4.mul(weight, v128.load32_splat(i)));
        c = f32x4.add(c, f32x4.mul(weight, v128.load32_splat(i + row)));
        d = f32x4.add(d, f32x4.mul(weight, v128.load32_splat(i + row * 2)));
        e = f32x4.add(e, f32x4.mul(weight, v128.load32_splat(i + row * 3)));
        k += out;
      }
      v128.store(y0 + o, bounded(a, act));
      v128.store(y0 + o + out, bounded(c, act));
      v128.store(y0 + o + out * 2, bounded(d, act));
      v128.store(y0 + o + out * 3, bounded(e, act));
    }
  }
  for (; p < n; p++) {
    const x0: usize = x + usize(p) * row;
    const y0: usize = y + usize(p) * out;
    for (let o: usize = 0; o < out; o += 16) {
      let a: v128 = v128.load(b + o);
      let k: usize = w + o;
      for (let i: usize = x0; i < x0 + row; i += 4) {
        a = f32x4.add(a, f32x4.mul(v128.load(k), v128.load32_splat(i)));
        k += out;
      }
      v128.store(y0 + o, bounded(a, act));
    }
  }
}

/** Any other convolution. What lies beyond the edge counts as zero. */
export function conv(
  x: usize, w: usize, b: usize, y: usize, ih: i32, iw: i32, ic: i32, oh: i32, ow: i32, oc: i32,
  kh: i32, kw: i32, sy: i32, sx: i32, top: i32, left: i32, act: i32,
): void {
  const row: usize = usize(ic) << 2;
  const out: usize = usize(oc) << 2;
  let at: usize = y;
  for (let oy: i32 = 0; oy < oh; oy++) {
    for (let ox: i32 = 0; ox < ow; ox++) {
      for (let o: usize = 0; o < out; o += 16) {
        let a: v128 = v128.load(b + o);
        for (let ky: i32 = 0; ky < kh; ky++) {
          const iy: i32 = oy * sy + ky - top;
          if (iy < 0 || iy >= ih) continue;
          for (let kx: i32 = 0; kx < kw; kx++) {
            const ix: i32 = ox * sx + kx - left;
            if (ix < 0 || ix >= iw) continue;
            const from: usize = x + usize(iy * iw + ix) * row;
            let k: usize = w + usize(ky * kw + kx) * usize(ic) * out + o;
            for (let i: usize = from; i < from + row; i += 4) {
              a = f32x4.add(a, f32x4.mul(v128.load(k), v128.load32_splat(i)));
              k += out;
            }
          }
        }
        v128.store(at + o, bounded(a, act));
      }
      at += out;
    }
  }
}

/** Each channel by itself: weights are [row][column][channel]. */
export function depthwise(
  x: usize, w: usize, b: usize, y: usize, ih: i32, iw: i32, c: i32, oh: i32, ow: i32,
  kh: i32, kw: i32, sy: i32, sx: i32, top: i32, left: i32, act: i32,
): void {
  const row: usize = usize(c) << 2;
  let at: usize = y;
  for (let oy: i32 = 0; oy < oh; oy++) {
    const y0: i32 = oy * sy - top;
    const firstY: i32 = max(0, -y0);
    const lastY: i32 = min(kh, ih - y0);
    for (let ox: i32 = 0; ox < ow; ox++) {
      const x0: i32 = ox * sx - left;
      const firstX: i32 = max(0, -x0);
      const lastX: i32 = min(kw, iw - x0);
      for (let o: usize = 0; o < row; o += 16) {
        let a: v128 = v128.load(b + o);
        for (let ky: i32 = firstY; ky < lastY; ky++) {
          let from: usize = x + usize((y0 + ky) * iw + x0 + firstX) * row + o;
          let k: usize = w + usize(ky * kw + firstX) * row + o;
          for (let kx: i32 = firstX; kx < lastX; kx++) {
            a = f32x4.add(a, f32x4.mul(v128.load(from), v128.load(k)));
            from += row;
            k += row;
          }
        }
        v128.store(at + o, bounded(a, act));
      }
      at += row;
    }
  }
}

/** A convolution turned around: it makes the picture larger. */
export function transposed(
  x: usize, w: usize, b: usize, y: usize, ih: i32, iw: i32, ic: i32, oh: i32, ow: i32, oc: i32,
  kh: i32, kw: i32, sy: i32, sx: i32, top: i32, left: i32,
): void {
  const row: usize = usize(ic) << 2;
  const out: usize = usize(oc) << 2;
  let at: usize = y;
  for (let oy: i32 = 0; oy < oh; oy++) {
    for (let ox: i32 = 0; ox < ow; ox++) {
      for (let o: usize = 0; o < out; o += 16) {
        let a: v128 = v128.load(b + o);
        for (let ky: i32 = 0; ky < kh; ky++) {
          const ty: i32 = oy + top - ky;
          if (ty < 0 || ty % sy != 0 || ty / sy >= ih) continue;
          for (let kx: i32 = 0; kx < kw; kx++) {
            const tx: i32 = ox + left - kx;
            if (tx < 0 || tx % sx != 0 || tx / sx >= iw) continue;
            const from: usize = x + usize((ty / sy) * iw + tx / sx) * row;
            let k: usize = w + usize(ky * kw + kx) * usize(ic) * out + o;
            for (let i: usize = from; i < from + row; i += 4) {
              a = f32x4.add(a, f32x4.mul(v128.load(k), v128.load32_splat(i)));
              k += out;
            }
          }
        }
        v128.store(at + o, a);
      }
      at += out;
    }
  }
}

/** Sums (kind 0) or products (kind 1) of two pictures; a `step` of zero takes the same one pixel of the second for all. */
export function combine(x: usize, z: usize, y: usize, n: i32, c: i32, step: i32, kind: i32, act: i32): void {
  const row: usize = usize(c) << 2;
  let second: usize = z;
  for (let p: i32 = 0; p < n; p++) {
    const at: usize = usize(p) * row;
    for (let o: usize = 0; o < row; o += 16) {
      const v: v128 = v128.load(x + at + o);
      const u: v128 = v128.load(second + o);
      v128.store(y + at + o, bounded(kind == 0 ? f32x4.add(v, u) : f32x4.mul(v, u), act));
    }
    second += usize(step) << 2;
  }
}

/** Of each number by itself: kind 2 is x * relu6(x + 3) / 6, others are bounds. */
export function each(x: usize, y: usize, n: i32, kind: i32): void {
  const bytes: usize = usize(n) << 2;
  for (let o: usize = 0; o < bytes; o += 16) {
    const v: v128 = v128.load(x + o);
    if (kind == 2) {
      const gate: v128 = bounded(f32x4.add(v, f32x4.splat(3.0)), RELU6);
      v128.store(y + o, f32x4.mul(f32x4.mul(v, gate), f32x4.splat(1.0 / 6.0)));
    } else {
      v128.store(y + o, bounded(v, kind));
    }
  }
}

/** The mean of each channel over all pixels. */
export function mean(x: usize, y: usize, n: i32, c: i32): void {
  const row: usize = usize(c) << 2;
  const share: v128 = f32x4.splat(1.0 / f32(n));
  for (let o: usize = 0; o < row; o += 16) {
    let a: v128 = f32x4.splat(0.0);
    for (let p: i32 = 0; p < n; p++) a = f32x4.add(a, v128.load(x + usize(p) * row + o));
    v128.store(y + o, f32x4.mul(a, share));
  }
}

/** Bilinear, with corners or the centres of pixels over each other, as the file says. */
export function resize(x: usize, y: usize, ih: i32, iw: i32, oh: i32, ow: i32, c: i32, corners: i32, centres: i32): void {
  const row: usize = usize(c) << 2;
  const dy: f32 = corners != 0 && oh > 1 ? f32(ih - 1) / f32(oh - 1) : f32(ih) / f32(oh);
  const dx: f32 = corners != 0 && ow > 1 ? f32(iw - 1) / f32(ow - 1) : f32(iw) / f32(ow);
  let at: usize = y;
  for (let oy: i32 = 0; oy < oh; oy++) {
    const sy: f32 = max<f32>(0.0, centres != 0 ? (f32(oy) + 0.5) * dy - 0.5 : f32(oy) * dy);
    const y0: i32 = min(i32(sy), ih - 1);
    const y1: i32 = min(y0 + 1, ih - 1);
    const fy: v128 = f32x4.splat(sy - f32(y0));
    for (let ox: i32 = 0; ox < ow; ox++) {
      const sx: f32 = max<f32>(0.0, centres != 0 ? (f32(ox) + 0.5) * dx - 0.5 : f32(ox) * dx);
      const x0: i32 = min(i32(sx), iw - 1);
      const x1: i32 = min(x0 + 1, iw - 1);
      const fx: v128 = f32x4.splat(sx - f32(x0));
      const a: usize = x + usize(y0 * iw + x0) * row;
      const b: usize = x + usize(y0 * iw + x1) * row;
      const d: usize = x + usize(y1 * iw + x0) * row;
      const e: usize = x + usize(y1 * iw + x1) * row;
      for (let o: usize = 0; o < row; o += 16) {
        const over: v128 = mixed(v128.load(a + o), v128.load(b + o), fx);
        const under: v128 = mixed(v128.load(d + o), v128.load(e + o), fx);
        v128.store(at + o, mixed(over, under, fy));
      }
      at += row;
    }
  }
}

@inline
function mixed(a: v128, b: v128, share: v128): v128 {
  return f32x4.add(a, f32x4.mul(f32x4.sub(b, a), share));
}
