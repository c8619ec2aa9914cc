// SPDX-License-Identifier: EUPL-1.2
/** What is made of the network's opinion: a soft edge that doesn't flicker, and a background that is blurred without the person in it. */

/** Of a new picture against what was there: less of it would trail behind whoever moves. */
const NEW = 0.6;
/** Below the first, certainly background; above the second, certainly a person. */
const EDGE = [0.3, 0.7] as const;
/** How far a blurred point spreads, as a part of the picture's width. */
const BLUR = 1 / 24;
const PASSES = 2;

/** Brings `mask` a step nearer to what the network sees now, in place. */
export function follow(mask: Float32Array, seen: Float32Array): void {
  for (let i = 0; i < mask.length; i++) {
    const old = mask[i] ?? 0;
    mask[i] = old + ((seen[i] ?? 0) - old) * NEW;
  }
}

/** How much of the person's own picture is shown: from 0 to 255, with a soft edge. */
export function opacity(likelihood: number): number {
  const t = Math.min(1, Math.max(0, (likelihood - EDGE[0]) / (EDGE[1] - EDGE[0])));
  return Math.round(255 * t * t * (3 - 2 * t));
}

/** Writes the mask into the fourth number of each pixel; the colours do not matter to whoever draws with it. */
export function stencil(mask: Float32Array, rgba: Uint8ClampedArray): void {
  for (let i = 0; i < mask.length; i++) rgba[4 * i + 3] = opacity(mask[i] ?? 0);
}

/**
 * The picture, blurred, into `to`. Each point counts by how much it is background, so that nobody has a glow of their own colours
 * around them; where there is nothing but the person, what was near shows through.
 */
export function blur(from: Uint8ClampedArray, mask: Float32Array, width: number, height: number, to: Uint8ClampedArray): void {
  const radius = Math.max(1, Math.round(width * BLUR));
  const sums = new Float32Array(width * height * 4);
  for (let i = 0; i < mask.length; i++) {
    const weight = 1.001 - opacity(mask[i] ?? 0) / 255;
    for (let c = 0; c < 3; c++) sums[4 * i + c] = (from[4 * i + c] ?? 0) * weight;
    sums[4 * i + 3] = weight;
  }
  const spare = new Float32Array(sums.length);
  for (let pass = 0; pass < PASSES; pass++) {
    spread(sums, spare, height, width * 4, width, 4, radius);
    spread(spare, sums, width, 4, height, width * 4, radius);
  }
  for (let i = 0; i < mask.length; i++) {
    const weight = sums[4 * i + 3] ?? 1;
    for (let c = 0; c < 3; c++) to[4 * i + c] = (sums[4 * i + c] ?? 0) / weight;
    to[4 * i + 3] = 255;
  }
}

/** Sums over a window that slides along each of `lines`, whose points are `step` numbers apart. Beyond the ends is nothing. */
function spread(from: Float32Array, to: Float32Array, lines: number, line: number, points: number, step: number, radius: number): void {
  for (let l = 0; l < lines; l++) {
    for (let c = 0; c < 4; c++) {
      const start = l * line + c;
      let sum = 0;
      for (let p = 0; p < Math.min(radius, points); p++) sum += from[start + p * step] ?? 0;
      for (let p = 0; p < points; p++) {
        if (p + radius < points) sum += from[start + (p + radius) * step] ?? 0;
        if (p - radius - 1 >= 0) sum -= from[start + (p - radius - 1) * step] ?? 0;
        to[start + p * step] = sum;
      }
    }
  }
}
