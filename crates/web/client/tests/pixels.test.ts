// SPDX-License-Identifier: EUPL-1.2
import { expect, test } from 'vitest';
import { dimensions, mayOpen } from '../src/effects/pixels.ts';

const bytes = (...parts: (string | number[])[]) =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === 'string' ? Array.from(part, (letter) => letter.charCodeAt(0)) : part)));
const big = (value: number, count: number) => Array.from({ length: count }, (_, i) => Math.floor(value / 256 ** (count - 1 - i)) & 255);
const little = (value: number, count: number) => big(value, count).reverse();

/** The heads of pictures of this size, one of each kind. */
const heads = (width: number, height: number) => ({
  png: bytes('\x89PNG\r\n\x1a\n', big(13, 4), 'IHDR', big(width, 4), big(height, 4)),
  gif: bytes('GIF89a', little(width, 2), little(height, 2)),
  jpeg: bytes('\xff\xd8\xff\xe1\0\x06Exif\xff\xff\xc4\0\x03x\xff\xc2\0\x0b\x08', big(height, 2), big(width, 2)),
  lossy: bytes('RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a', little(width, 2), little(height, 2)),
  lossless: bytes('RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f', little(width - 1 + (height - 1) * 2 ** 14, 4)),
  animated: bytes('RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0', little(width - 1, 3), little(height - 1, 3)),
  avif: bytes(big(20, 4), 'ftypavif', 'mif1', 'ispe', [0, 0, 0, 0], big(9, 4), big(9, 4), 'ispe', [0, 0, 0, 0], big(width, 4), big(height, 4)),
});

test('each kind says its size', () => {
  for (const [kind, head] of Object.entries(heads(640, 480))) expect(dimensions(head), kind).toEqual([640, 480]);
});

test('a head that is cut off says nothing, and neither does what is no picture', () => {
  for (const [kind, head] of Object.entries(heads(640, 480))) {
    // Of the last kind, the first of two boxes is whole before.
    const ends = kind === 'avif' ? [0, 8, 12, 19] : Array.from(head.keys());
    for (const end of ends) expect(dimensions(head.slice(0, end)), `${end} of ${kind}`).toBeUndefined();
  }
  for (const text of ['', '<svg/>', 'BM\0\0\0\0', '\xff\xd8\xff\xda\0\x02\xff\xc0\0\x0b\x08\0\x09\0\x09', '\xff\xd8\xff\xe0\0\0']) {
    expect(dimensions(bytes(text)), text).toBeUndefined();
  }
});

test('row 62: a picture that would be gigabytes once it is open is not opened, whatever it is', async () => {
  for (const [kind, head] of Object.entries(heads(16_000, 16_000))) expect(await mayOpen(new Blob([head])), kind).toBe(false);
  for (const [kind, head] of Object.entries(heads(7_000, 5_000))) expect(await mayOpen(new Blob([head])), kind).toBe(true);
  // No size, no height, and a size that comes too late.
  const late = bytes('\xff\xd8', ...Array.from({ length: 17 }, () => ['\xff\xe1', big(65_535, 2), Array.from({ length: 65_533 }, () => 0)]).flat());
  for (const wrong of [bytes('GIF89a'), heads(9, 0).png, late]) expect(await mayOpen(new Blob([wrong]))).toBe(false);
});
