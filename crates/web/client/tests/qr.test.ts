// SPDX-License-Identifier: EUPL-1.2
import decode from 'qr/decode.js';
import { expect, test } from 'vitest';
import { qrPath } from '../src/panels/qr.ts';

test('a camera reads the link out of the code', () => {
  const link = `https://meet.example.org/r/${'b3Vt5nqXb0-2Vw_1cJ8hkQ'}#k=${'A'.repeat(43)}`;
  const { size, path } = qrPath(link);
  const pixels = 4;
  const side = size * pixels;
  const data = new Uint8Array(side * side * 4).fill(255);
  for (const [, x, y] of path.matchAll(/M(\d+) (\d+)h1v1h-1z/g)) {
    for (let row = 0; row < pixels; row++) {
      for (let column = 0; column < pixels; column++) {
        const at = ((Number(y) * pixels + row) * side + Number(x) * pixels + column) * 4;
        data.fill(0, at, at + 3);
      }
    }
  }
  expect(decode({ width: side, height: side, data })).toBe(link);
});
