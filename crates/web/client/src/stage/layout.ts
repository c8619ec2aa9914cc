// SPDX-License-Identifier: EUPL-1.2
/** Where each tile of the stage goes. Pure: sizes in, rectangles out, all in CSS pixels. */

export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Size {
  width: number;
  height: number;
}

export interface Layout {
  /** In the order of the input. */
  rects: Rect[];
  /** More than the stage's height when the tiles would have become too small to see: then the stage scrolls. */
  height: number;
}

const GAP = 8;
/** A face crops well between these; beyond them a tile becomes a ribbon. */
const MAX_RATIO = 16 / 9;
const MIN_RATIO_WIDE = 4 / 3;
/** In a window that is taller than wide, tiles may be too. */
const MIN_RATIO_TALL = 3 / 4;
/** Below this a face can't be read; further rows are scrolled to. */
const MIN_TILE_WIDTH = 132;
/** Beside a shared screen, people take a fifth of the width, but no less than a face needs. */
const STRIP_SHARE = 0.2;
/** Above people, a shared screen takes what it needs at this ratio, but leaves them a part of the height. */
const SCREEN_RATIO = 16 / 9;
const SCREEN_MAX_SHARE = 0.65;

/** Packs `count` tiles so that each is as large as can be, all of one size, the last row centred. */
export function pack(count: number, stage: Size, least = leastRatio(stage)): Layout {
  if (count === 0 || stage.width <= 0 || stage.height <= 0) return { rects: [], height: stage.height };
  let best = { columns: 1, tile: { width: 0, height: 0 }, area: -1 };
  for (let columns = 1; columns <= count; columns++) {
    const tile = tileIn(columns, Math.ceil(count / columns), stage, least);
    const area = tile.width * tile.height;
    // Half a pixel of tolerance: of two that are as good as equal, the one with fewer columns.
    if (area > best.area + 0.5) best = { columns, tile, area };
  }
  const columns = Math.min(best.columns, Math.max(1, Math.floor((stage.width + GAP) / (MIN_TILE_WIDTH + GAP))));
  if (best.tile.width >= Math.min(MIN_TILE_WIDTH, stage.width) && columns === best.columns) {
    return place(count, best.columns, best.tile, stage);
  }
  const width = (stage.width - GAP * (columns - 1)) / columns;
  return place(count, columns, { width, height: width / MIN_RATIO_WIDE }, stage);
}

/**
 * Shared screens take the stage; people are a strip beside them where the window is wide, below where it is tall.
 * The first `screens` rectangles are the screens.
 */
export function packWithScreens(screens: number, people: number, stage: Size): Layout {
  if (people === 0) return pack(screens, stage);
  const wide = stage.width > stage.height;
  const main: Size = wide
    ? { width: stage.width - Math.max(stage.width * STRIP_SHARE, MIN_TILE_WIDTH) - GAP, height: stage.height }
    : {
        width: stage.width,
        height: Math.min((stage.width / SCREEN_RATIO) * screens, stage.height * SCREEN_MAX_SHARE),
      };
  const side: Size = wide
    ? { width: stage.width - main.width - GAP, height: stage.height }
    : { width: stage.width, height: stage.height - main.height - GAP };
  const shown = packScreens(screens, main);
  const beside = pack(people, side, leastRatio(stage));
  const offset = wide ? { x: main.width + GAP, y: 0 } : { x: 0, y: main.height + GAP };
  const moved = beside.rects.map((r) => ({ ...r, x: r.x + offset.x, y: r.y + offset.y }));
  return { rects: [...shown, ...moved], height: Math.max(stage.height, offset.y + beside.height) };
}

/** A screen is shown whole in whatever box it gets: fill the place, stacked along its longer side. */
function packScreens(count: number, stage: Size): Rect[] {
  const across = stage.width > stage.height * MAX_RATIO;
  const columns = across ? count : 1;
  const rows = across ? 1 : count;
  const width = (stage.width - GAP * (columns - 1)) / columns;
  const height = (stage.height - GAP * (rows - 1)) / rows;
  return Array.from({ length: count }, (_, i) => ({
    x: across ? i * (width + GAP) : 0,
    y: across ? 0 : i * (height + GAP),
    width,
    height,
  }));
}

function leastRatio(stage: Size): number {
  return stage.width < stage.height ? MIN_RATIO_TALL : MIN_RATIO_WIDE;
}

function tileIn(columns: number, rows: number, stage: Size, least: number): Size {
  const width = Math.max(0, (stage.width - GAP * (columns - 1)) / columns);
  const height = Math.max(0, (stage.height - GAP * (rows - 1)) / rows);
  if (width > height * MAX_RATIO) return { width: height * MAX_RATIO, height };
  if (width < height * least) return { width, height: width / least };
  return { width, height };
}

function place(count: number, columns: number, tile: Size, stage: Size): Layout {
  const rows = Math.ceil(count / columns);
  const used = rows * tile.height + GAP * (rows - 1);
  const top = Math.max(0, (stage.height - used) / 2);
  const rects = Array.from({ length: count }, (_, i) => {
    const row = Math.floor(i / columns);
    const inRow = row === rows - 1 ? count - row * columns : columns;
    const left = (stage.width - inRow * tile.width - GAP * (inRow - 1)) / 2;
    return {
      x: left + (i - row * columns) * (tile.width + GAP),
      y: top + row * (tile.height + GAP),
      ...tile,
    };
  });
  return { rects, height: Math.max(stage.height, used) };
}
