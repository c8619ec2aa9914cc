// SPDX-License-Identifier: EUPL-1.2
import { describe, expect, test } from 'vitest';
import { pack, packWithScreens, type Rect, type Size } from '../src/stage/layout.ts';

const WINDOWS: Size[] = [
  { width: 304, height: 480 },
  { width: 640, height: 280 },
  { width: 1264, height: 700 },
  { width: 1000, height: 1000 },
  { width: 3824, height: 2060 },
  { width: 2500, height: 400 },
];

function overlap(a: Rect, b: Rect): boolean {
  const slack = 0.01;
  return (
    a.x + a.width > b.x + slack &&
    b.x + b.width > a.x + slack &&
    a.y + a.height > b.y + slack &&
    b.y + b.height > a.y + slack
  );
}

function expectSound(rects: Rect[], stage: Size, height: number): void {
  for (const [i, rect] of rects.entries()) {
    expect(rect.x).toBeGreaterThanOrEqual(-0.01);
    expect(rect.y).toBeGreaterThanOrEqual(-0.01);
    expect(rect.x + rect.width).toBeLessThanOrEqual(stage.width + 0.01);
    expect(rect.y + rect.height).toBeLessThanOrEqual(height + 0.01);
    for (const other of rects.slice(i + 1)) expect(overlap(rect, other)).toBe(false);
  }
}

describe.each(WINDOWS)('in a stage of $width × $height', (stage) => {
  test('tiles of any number are whole, apart, of one size and of a face’s shape', () => {
    for (let count = 1; count <= 60; count++) {
      const { rects, height } = pack(count, stage);
      expect(rects).toHaveLength(count);
      expectSound(rects, stage, height);
      for (const rect of rects) {
        expect(rect.width).toBeCloseTo(rects[0]?.width ?? 0, 5);
        expect(rect.width / rect.height).toBeLessThan(16 / 9 + 0.01);
        expect(rect.width / rect.height).toBeGreaterThan(0.74);
        expect(rect.width).toBeGreaterThanOrEqual(Math.min(131.9, stage.width));
      }
    }
  });

  test('no other number of columns would make the tiles larger', () => {
    for (const count of [1, 2, 3, 5, 7, 12, 25]) {
      const { rects, height } = pack(count, stage);
      if (height > stage.height) continue;
      const area = (rects[0]?.width ?? 0) * (rects[0]?.height ?? 0);
      for (let columns = 1; columns <= count; columns++) {
        const rows = Math.ceil(count / columns);
        const width = (stage.width - 8 * (columns - 1)) / columns;
        const available = (stage.height - 8 * (rows - 1)) / rows;
        if (available <= 0) continue;
        const least = stage.width < stage.height ? 3 / 4 : 4 / 3;
        const w = Math.min(width, available * (16 / 9));
        const h = Math.min(available, w / least);
        expect(w * h).toBeLessThanOrEqual(area + 1);
      }
    }
  });

  test('a shared screen is as wide as anyone and nobody is covered', () => {
    for (const people of [1, 2, 5, 12, 30]) {
      for (const screens of [1, 2]) {
        const { rects, height } = packWithScreens(screens, people, stage);
        expect(rects).toHaveLength(screens + people);
        expectSound(rects, stage, height);
      }
      const [screen, ...others] = packWithScreens(1, people, stage).rects;
      for (const other of others) expect(screen?.width).toBeGreaterThanOrEqual(other.width - 0.01);
    }
  });
});

test('a stage that has no size yet shows nothing', () => {
  expect(pack(3, { width: 0, height: 0 }).rects).toEqual([]);
  expect(pack(0, { width: 100, height: 100 }).rects).toEqual([]);
});
