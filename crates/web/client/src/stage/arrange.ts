// SPDX-License-Identifier: EUPL-1.2
/** The whole stage for one moment: who is seated where, what is large, which page, and every rectangle. Pure. */
import type { Person, Screen } from '../room/state.ts';
import { compose, personTile, type TileId } from './compose.ts';
import { type Edge, gridCapacity, type MainKind, pack, packFocus, type Rect, type Size, stripCapacity } from './layout.ts';
import type { StageState } from './model.ts';
import { pageOf, type Seating, seat } from './seating.ts';

/** What the buttons that turn pages need, where there are pages. */
export const FOOT_PX = 52;

export interface Scene {
  people: readonly Person[];
  screens: readonly Screen[];
  chosen: StageState;
  spotlight: readonly string[];
  floor: string | undefined;
  size: Size;
  now: number;
}

export interface Placed {
  id: TileId;
  rect: Rect;
  /** Stands large. */
  main: boolean;
  person?: Person;
  screen?: Screen;
}

export interface Arrangement {
  seating: Seating;
  tiles: Placed[];
  page: number;
  pages: number;
  /** Where the pages are turned. */
  foot: Rect | undefined;
  /** Between what stands large and the people beside it. */
  edge: Edge | undefined;
  /** The user, where they are seen beside the stage and not on it. */
  floating: Person | undefined;
}

export function arrange(before: Seating, scene: Scene): Arrangement {
  const { people, screens, chosen, size } = scene;
  const local = people.find((p) => p.isLocal);
  const alone = people.length === 1 && screens.length === 0;
  const pinned = local !== undefined && chosen.pins.includes(personTile(local.identity));
  const apart = chosen.self !== 'tile' && !alone && !pinned && local !== undefined;
  const staged = apart ? people.filter((p) => !p.isLocal) : people;

  const ids = screens.map((screen) => screen.id);
  const wishes = { ...chosen, spotlight: scene.spotlight, floor: scene.floor };
  // Who is large does not hang on the seats; only who beside them.
  const { main } = compose(staged.map((p) => p.identity), ids, wishes);
  const kinds: MainKind[] = main.map((id) => (ids.includes(id) ? 'screen' : 'person'));
  const away = new Set(main.filter((id) => !ids.includes(id)).map((id) => id.slice('person:'.length)));
  const beside = staged.length - away.size;

  const capacity = (foot: number) =>
    kinds.length === 0
      ? gridCapacity({ ...size, height: size.height - foot })
      : stripCapacity(size, kinds, foot, chosen.share);
  const paged = beside > capacity(0);
  const foot = paged ? FOOT_PX : 0;
  const seats = Math.max(1, capacity(foot));
  const held = new Set(local === undefined ? [] : [local.identity]);
  const seating = seat(before, staged, { capacity: seats, page: chosen.page, away, held }, scene.now);
  const side = seating.order.filter((identity) => !away.has(identity));
  const { page, pages } = pageOf(chosen.page, side.length, seats);
  const shown = side.slice(page * seats, (page + 1) * seats);

  const known = new Map(staged.map((p) => [p.identity, p]));
  const tiles: Placed[] = [];
  const add = (id: TileId, rect: Rect | undefined, main: boolean) => {
    if (rect === undefined) return;
    const screen = screens.find((each) => each.id === id);
    const person = known.get(id.slice('person:'.length));
    if (screen !== undefined) tiles.push({ id, rect, main, screen });
    else if (person !== undefined) tiles.push({ id, rect, main, person });
  };
  let place: Rect | undefined;
  let edge: Edge | undefined;
  if (kinds.length === 0) {
    const rects = pack(shown.length, { ...size, height: size.height - foot });
    for (const [i, identity] of shown.entries()) add(personTile(identity), rects[i], false);
    if (paged) place = { x: 0, y: size.height - foot, width: size.width, height: foot };
  } else {
    const rects = packFocus(kinds, shown.length, size, foot, chosen.share);
    for (const [i, id] of main.entries()) add(id, rects.main[i], true);
    for (const [i, identity] of shown.entries()) add(personTile(identity), rects.side[i], false);
    place = rects.foot;
    edge = rects.edge;
  }
  return {
    seating,
    tiles,
    page,
    pages,
    foot: place,
    edge,
    floating: apart && chosen.self === 'floating' ? local : undefined,
  };
}

/** In a language that runs from right to left, the strip is at the left. */
export function mirrored(rect: Rect, width: number, rightToLeft: boolean): Rect {
  return rightToLeft ? { ...rect, x: width - rect.x - rect.width } : rect;
}
