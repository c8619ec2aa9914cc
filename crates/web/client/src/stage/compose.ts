// SPDX-License-Identifier: EUPL-1.2
/** What stands large and what stands beside it, from what the user and the moderators chose. */

export type ViewKind = 'grid' | 'speaker';

/** A tile by what it shows: `person:…` or `screen:…`. */
export type TileId = string;

export const personTile = (identity: string): TileId => `person:${identity}`;

export interface Wishes {
  view: ViewKind;
  /** The user's own, in the order they were chosen. */
  pins: readonly TileId[];
  /** Who interprets into sign language: seen all the time, whoever speaks. */
  signers: readonly string[];
  /** The moderators' choice for everyone. */
  spotlight: readonly string[];
  /** Who has the floor. */
  floor: string | undefined;
}

export interface Composition {
  /** Empty in the plain grid. */
  main: TileId[];
  /** Everyone else, in the order of the seats. */
  side: string[];
}

/** More than these would leave nothing large. */
export const MAIN_AT_MOST = 6;

/**
 * Interpreters come first: whatever else is large is beside them. Then what the user pinned; without pins the spotlight; without
 * that, the screens; and in the speaker's view, where nothing of that is, who has the floor.
 */
export function compose(order: readonly string[], screens: readonly TileId[], wishes: Wishes): Composition {
  const present = new Set(order);
  const known = (id: TileId) => screens.includes(id) || (id.startsWith('person:') && present.has(id.slice('person:'.length)));
  const signers = wishes.signers.filter((identity) => present.has(identity)).map(personTile);
  const pins = wishes.pins.filter(known);
  const spotlight = wishes.spotlight.filter((identity) => present.has(identity)).map(personTile);

  let chosen: TileId[];
  // A screen that somebody shares is never out of sight by a choice that was made before it came.
  if (pins.length > 0) chosen = pins.some((id) => screens.includes(id)) ? pins : [...screens, ...pins];
  else chosen = [...screens, ...spotlight];
  if (chosen.length === 0 && (wishes.view === 'speaker' || signers.length > 0)) {
    const others = order.filter((identity) => !signers.includes(personTile(identity)));
    const shown = wishes.floor !== undefined && others.includes(wishes.floor) ? wishes.floor : (others[1] ?? others[0]);
    if (shown !== undefined) chosen = [personTile(shown)];
  }
  const main = [...new Set([...signers, ...chosen])].slice(0, MAIN_AT_MOST);
  const large = new Set(main);
  return { main, side: order.filter((identity) => !large.has(personTile(identity))) };
}
