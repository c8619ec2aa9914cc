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

/** What stands large: a screen is shown whole, a person is cropped to a face. */
export type MainKind = 'screen' | 'person';

export interface Focus {
  /** In the order of the input. */
  main: Rect[];
  /** As many as fit; further people are on further pages. */
  side: Rect[];
  /** What was kept free below the strip. */
  foot: Rect | undefined;
  /** Nothing where there are no people beside. */
  edge: Edge | undefined;
}

/** Where what stands large ends and the people begin. */
export interface Edge {
  /** They are beside each other; otherwise one above the other. */
  wide: boolean;
  /** How much of the stage is what stands large, from 0 to 1. */
  share: number;
  /** The gap between them. */
  rect: Rect;
}

export const GAP = 8;
/** What stands large keeps so much of the stage, however far the user moves its edge, and leaves so much. */
export const SHARE_LEAST = 0.3;
export const SHARE_MOST = 0.9;
/** A page of a wide window. More faces than these are a wallpaper. */
export const MAX_PER_PAGE = 25;
/** A face crops well between these; beyond them a tile becomes a ribbon. */
const MAX_RATIO = 16 / 9;
const MIN_RATIO_WIDE = 4 / 3;
/** In a window that is taller than wide, tiles may be too. */
const MIN_RATIO_TALL = 3 / 4;
/** Below this a face can't be read; further people are on the next page. */
const MIN_TILE: Size = { width: 132, height: 99 };
/** Beside what stands large, people take a fifth of the width, but no less than a face needs. */
const STRIP_SHARE = 0.2;
/** Above people, what stands large takes what it needs at this ratio, but leaves them a part of the height. */
const SCREEN_RATIO = 16 / 9;
const MAIN_MAX_SHARE = 0.65;
/** Beside a screen, each large person takes so much of the place, and together no more than half. */
const PERSON_BESIDE_SCREEN = 0.28;
const PERSONS_BESIDE_SCREEN_AT_MOST = 0.5;

/** How many people a page of the grid holds: all that can still be read, 25 at most. */
export function gridCapacity(stage: Size): number {
  return Math.max(1, Math.min(MAX_PER_PAGE, fits(stage)));
}

/** How many people stand beside what is large, with `foot` kept free below them. None where there is no room for anyone. */
export function stripCapacity(stage: Size, main: readonly MainKind[], foot = 0, share?: number): number {
  const { side } = split(stage, main, share);
  return Math.min(MAX_PER_PAGE, fits({ ...side, height: side.height - foot }));
}

/** Packs `count` tiles so that each is as large as can be, all of one size, the last row centred. */
export function pack(count: number, stage: Size, least = leastRatio(stage)): Rect[] {
  if (count === 0 || stage.width <= 0 || stage.height <= 0) return [];
  let best = { columns: 1, tile: { width: 0, height: 0 }, area: -1 };
  for (let columns = 1; columns <= count; columns++) {
    const tile = tileIn(columns, Math.ceil(count / columns), stage, least);
    const area = tile.width * tile.height;
    // Half a pixel of tolerance: of two that are as good as equal, the one with fewer columns.
    if (area > best.area + 0.5) best = { columns, tile, area };
  }
  return place(count, best.columns, best.tile, stage);
}

/** Screens and chosen people take the stage; the others are a strip beside them where the window is wide, below where it is tall. */
export function packFocus(main: readonly MainKind[], side: number, stage: Size, foot = 0, share?: number): Focus {
  if (stage.width <= 0 || stage.height <= 0) return { main: [], side: [], foot: undefined, edge: undefined };
  if (side === 0 && foot === 0) return { main: packMain(main, stage), side: [], foot: undefined, edge: undefined };
  const parts = split(stage, main, share);
  const offset = parts.wide ? { x: parts.main.width + GAP, y: 0 } : { x: 0, y: parts.main.height + GAP };
  const beside = pack(side, { ...parts.side, height: parts.side.height - foot }, leastRatio(stage));
  const { width, height } = parts.main;
  const edge: Edge = parts.wide
    ? { wide: true, share: (width + GAP / 2) / stage.width, rect: { x: width, y: 0, width: GAP, height } }
    : { wide: false, share: (height + GAP / 2) / stage.height, rect: { x: 0, y: height, width, height: GAP } };
  return {
    edge,
    foot: foot === 0 ? undefined : { x: offset.x, y: stage.height - foot, width: parts.side.width, height: foot },
    main: packMain(main, parts.main),
    side: beside.map((r) => ({ ...r, x: r.x + offset.x, y: r.y + offset.y })),
  };
}

function split(stage: Size, kinds: readonly MainKind[], share?: number): { wide: boolean; main: Size; side: Size } {
  const wide = stage.width > stage.height;
  const chosen = share === undefined ? undefined : Math.min(SHARE_MOST, Math.max(SHARE_LEAST, share));
  if (wide) {
    const wanted = stage.width * (chosen === undefined ? STRIP_SHARE : 1 - chosen) - (chosen === undefined ? 0 : GAP / 2);
    const most = stage.width * (chosen === undefined ? 0.5 : 1 - SHARE_LEAST);
    const strip = Math.min(most, Math.max(wanted, MIN_TILE.width));
    return {
      wide,
      main: { width: stage.width - strip - GAP, height: stage.height },
      side: { width: strip, height: stage.height },
    };
  }
  const wanted = kinds.includes('screen') ? (stage.width / SCREEN_RATIO) * kinds.length : stage.height;
  // At least half: nobody beside what is large is larger.
  const built = Math.max((stage.height - GAP) / 2, Math.min(wanted, stage.height * MAIN_MAX_SHARE));
  const least = Math.min(MIN_TILE.height + GAP, stage.height * (1 - SHARE_LEAST));
  const height = chosen === undefined ? built : Math.min(stage.height * chosen - GAP / 2, stage.height - least);
  return {
    wide,
    main: { width: stage.width, height },
    side: { width: stage.width, height: stage.height - height - GAP },
  };
}

/** Large people share the place evenly; beside screens they are a column of their own, since text needs the room more. */
function packMain(kinds: readonly MainKind[], area: Size): Rect[] {
  const screens = kinds.filter((kind) => kind === 'screen').length;
  const persons = kinds.length - screens;
  if (screens === 0) return pack(persons, area);
  const across = area.width > area.height;
  const share = persons === 0 ? 0 : Math.min(PERSONS_BESIDE_SCREEN_AT_MOST, Math.max(PERSON_BESIDE_SCREEN, 0.2 * persons));
  const taken = (across ? area.width : area.height) * share;
  const shown: Size = across
    ? { width: area.width - taken - (persons > 0 ? GAP : 0), height: area.height }
    : { width: area.width, height: area.height - taken - (persons > 0 ? GAP : 0) };
  const beside: Size = across ? { width: taken, height: area.height } : { width: area.width, height: taken };
  const offset = across ? { x: shown.width + GAP, y: 0 } : { x: 0, y: shown.height + GAP };
  const screenRects = packScreens(screens, shown);
  const personRects = pack(persons, beside).map((r) => ({ ...r, x: r.x + offset.x, y: r.y + offset.y }));
  let screen = 0;
  let person = 0;
  return kinds
    .map((kind) => (kind === 'screen' ? screenRects[screen++] : personRects[person++]))
    .filter((rect) => rect !== undefined);
}

/** A screen is shown whole in whatever box it gets: fill the place, in the shape that wastes least. */
function packScreens(count: number, area: Size): Rect[] {
  let best = { columns: 1, shown: -1 };
  for (let columns = 1; columns <= count; columns++) {
    const box = boxIn(columns, Math.ceil(count / columns), area);
    const shown = Math.min(box.width, box.height * SCREEN_RATIO);
    if (shown > best.shown + 0.5) best = { columns, shown };
  }
  return place(count, best.columns, boxIn(best.columns, Math.ceil(count / best.columns), area), area);
}

function fits(area: Size): number {
  const along = (length: number, least: number) => Math.max(0, Math.floor((length + GAP) / (least + GAP)));
  return along(area.width, Math.min(MIN_TILE.width, area.width)) * along(area.height, MIN_TILE.height);
}

function leastRatio(stage: Size): number {
  return stage.width < stage.height ? MIN_RATIO_TALL : MIN_RATIO_WIDE;
}

function boxIn(columns: number, rows: number, area: Size): Size {
  return {
    width: Math.max(0, (area.width - GAP * (columns - 1)) / columns),
    height: Math.max(0, (area.height - GAP * (rows - 1)) / rows),
  };
}

function tileIn(columns: number, rows: number, area: Size, least: number): Size {
  const { width, height } = boxIn(columns, rows, area);
  if (width > height * MAX_RATIO) return { width: height * MAX_RATIO, height };
  if (width < height * least) return { width, height: width / least };
  return { width, height };
}

function place(count: number, columns: number, tile: Size, area: Size): Rect[] {
  const rows = Math.ceil(count / columns);
  const top = Math.max(0, (area.height - rows * tile.height - GAP * (rows - 1)) / 2);
  return Array.from({ length: count }, (_, i) => {
    const row = Math.floor(i / columns);
    const inRow = row === rows - 1 ? count - row * columns : columns;
    const left = (area.width - inRow * tile.width - GAP * (inRow - 1)) / 2;
    return {
      x: left + (i - row * columns) * (tile.width + GAP),
      y: top + row * (tile.height + GAP),
      ...tile,
    };
  });
}
