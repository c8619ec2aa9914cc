// SPDX-License-Identifier: EUPL-1.2
import { expect, test } from 'vitest';
import { loudness } from '../src/devices/level.ts';

const sine = (amplitude: number) => Array.from({ length: 1024 }, (_, i) => amplitude * Math.sin(i / 7));

test('silence is nothing, full scale is all, speech is in between', () => {
  expect(loudness(new Float32Array(1024))).toBe(0);
  expect(loudness(sine(0.0001))).toBe(0);
  expect(loudness(sine(1))).toBe(1);
  // -29 dB: ordinary speech.
  expect(loudness(sine(0.05))).toBeGreaterThan(0.5);
  expect(loudness(sine(0.05))).toBeLessThan(0.8);
});
