// SPDX-License-Identifier: EUPL-1.2
import { describe, expect, test } from 'vitest';
import { gridCapacity, MAX_PER_PAGE, type MainKind, pack, packFocus, type Rect, type Size, stripCapacity, SHARE_LEAST, SHARE_MOST } from '../src/stage/layout.ts';

const WINDOWS: Size[] = [
  { width: 304, height: 480 },
  { width: 552, height: 230 },
  { width: 1264, height: 614 },
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

/** Whole, within the stage, and nobody covered. */
function expectSound(rects: Rect[], stage: Size): void {
  for (const [i, rect] of rects.entries()) {
    expect(rect.x).toBeGreaterThanOrEqual(-0.01);
    expect(rect.y).toBeGreaterThanOrEqual(-0.01);
    expect(rect.x + rect.width).toBeLessThanOrEqual(stage.width + 0.01);
    expect(rect.y + rect.height).toBeLessThanOrEqual(stage.height + 0.01);
    for (const other of rects.slice(i + 1)) expect(overlap(rect, other)).toBe(false);
  }
}

describe.each(WINDOWS)('in a stage of $width × $height', (stage) => {
  test('tiles of any number that a page holds are whole, apart, of one size, of a face’s shape, and large enough to read', () => {
    const most = gridCapacity(stage);
    expect(most).toBeGreaterThanOrEqual(2);
    expect(most).toBeLessThanOrEqual(MAX_PER_PAGE);
    for (let count = 1; count <= most; count++) {
      const rects = pack(count, stage);
      expect(rects).toHaveLength(count);
      expectSound(rects, stage);
      for (const rect of rects) {
        expect(rect.width).toBeCloseTo(rects[0]?.width ?? 0, 5);
        expect(rect.width / rect.height).toBeLessThan(16 / 9 + 0.01);
        expect(rect.width / rect.height).toBeGreaterThan(0.74);
        expect(Math.min(rect.width, rect.height * (4 / 3))).toBeGreaterThanOrEqual(98);
      }
    }
  });

  test('no other number of columns would make the tiles larger', () => {
    for (const count of [1, 2, 3, 5, 7, 12, 25]) {
      const [first] = pack(count, stage);
      const area = (first?.width ?? 0) * (first?.height ?? 0);
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

  test('what is large covers nobody, and nobody beside it is larger', () => {
    const mains: MainKind[][] = [
      ['screen'],
      ['screen', 'screen'],
      ['screen', 'screen', 'screen'],
      ['person'],
      ['person', 'person'],
      ['screen', 'person'],
      ['person', 'screen', 'person'],
    ];
    for (const main of mains) {
      for (const foot of [0, 52]) {
        const most = stripCapacity(stage, main, foot);
        for (const side of [0, 1, 2, most].filter((count) => count <= most)) {
          const focus = packFocus(main, side, stage, foot);
          expect(focus.main).toHaveLength(main.length);
          expect(focus.side).toHaveLength(side);
          const all = [...focus.main, ...focus.side];
          expectSound(focus.foot === undefined ? all : [...all, focus.foot], stage);
          if (main.length > 1) continue;
          const [large] = focus.main;
          for (const small of focus.side) {
            expect((large?.width ?? 0) * (large?.height ?? 0)).toBeGreaterThanOrEqual(small.width * small.height - 1);
          }
        }
      }
    }
  });

  test('what is large takes what the user gives it, within bounds, and leaves room for a face', () => {
    const size = { width: 1280, height: 720 };
    const edge = (share: number | undefined, where = size) => packFocus(['screen'], 3, where, 0, share);
    const half = edge(0.5);
    expect(half.edge).toMatchObject({ wide: true, share: 0.5, rect: { x: 636, y: 0, width: 8, height: 720 } });
    expect(half.main[0]?.width).toBe(636);
    expect(Math.min(...half.side.map(({ x }) => x))).toBeGreaterThanOrEqual(644);
    expect(edge(0.9).main[0]?.width).toBeGreaterThan(edge(0.7).main[0]?.width ?? Infinity);
    expect(edge(5).edge).toEqual(edge(SHARE_MOST).edge);
    expect(edge(-1).edge?.share).toBeCloseTo(SHARE_LEAST, 2);
    for (const share of [SHARE_LEAST, 0.5, SHARE_MOST]) {
      for (const where of [size, { width: 320, height: 568 }, { width: 500, height: 300 }]) {
        const focus = edge(share, where);
        expectSound([...focus.main, ...focus.side], where);
        expect(stripCapacity(where, ['screen'], 0, share)).toBeGreaterThanOrEqual(1);
      }
    }
    const tall = edge(0.4, { width: 400, height: 800 });
    expect(tall.edge).toMatchObject({ wide: false, rect: { y: 316, height: 8, width: 400 } });
    expect(packFocus(['screen'], 0, size, 0, 0.5).edge).toBeUndefined();
  });

  test('a screen has more of the place than the people who stand large beside it', () => {
    const { main } = packFocus(['person', 'screen'], 0, stage);
    const area = (rect: Rect | undefined) => (rect?.width ?? 0) * (rect?.height ?? 0);
    expect(area(main[1])).toBeGreaterThan(area(main[0]));
  });
});

test('a telephone has pages of few, a desk of 25', () => {
  expect(gridCapacity({ width: 304, height: 480 })).toBe(8);
  expect(gridCapacity({ width: 552, height: 230 })).toBe(8);
  expect(gridCapacity({ width: 1264, height: 614 })).toBe(25);
});

test('a stage that has no size yet shows nothing', () => {
  expect(pack(3, { width: 0, height: 0 })).toEqual([]);
  expect(pack(0, { width: 100, height: 100 })).toEqual([]);
  expect(packFocus(['screen'], 2, { width: 0, height: 0 })).toEqual({ main: [], side: [], foot: undefined });
});
