// SPDX-License-Identifier: EUPL-1.2
/**
 * Who sits where. Nobody moves while they can be seen: whoever comes sits at the end, and whoever speaks out of sight takes the
 * seat, on the first page, of the one there who has been silent longest.
 */

export interface Sitter {
  identity: string;
  speaking: boolean;
}

export interface Seating {
  /** Everyone, in the order of the seats. */
  readonly order: readonly string[];
  /** When each was last heard, on the clock of `seat`'s caller. */
  readonly heard: ReadonlyMap<string, number>;
}

export const EMPTY_SEATING: Seating = { order: [], heard: new Map() };

export interface View {
  /** Seats on a page. */
  capacity: number;
  /** Which page is looked at. On another than the first one nobody is moved: it would be under the viewer's eyes. */
  page: number;
  /** Those who stand large or elsewhere, and need no seat meanwhile. */
  away: ReadonlySet<string>;
  /** Those who keep their seat, speak they or not. */
  held: ReadonlySet<string>;
}

/** The seating that follows `before`, for the people who are there now. Gives `before` itself where nothing changed. */
export function seat(before: Seating, people: readonly Sitter[], view: View, now: number): Seating {
  const here = new Map(people.map((p) => [p.identity, p]));
  const known = new Set(before.order);
  const order = before.order.filter((identity) => here.has(identity));
  for (const { identity } of people) if (!known.has(identity)) order.push(identity);

  const heard = new Map([...before.heard].filter(([identity]) => here.has(identity)));
  for (const { identity, speaking } of people) if (speaking) heard.set(identity, now);

  const seated = order.filter((identity) => !view.away.has(identity));
  if (view.page === 0 && seated.length > view.capacity) {
    const speaks = (identity: string) => here.get(identity)?.speaking === true;
    const first = seated.slice(0, view.capacity);
    for (const identity of seated.slice(view.capacity).filter(speaks)) {
      const other = quietest(first, heard, (each) => speaks(each) || view.held.has(each));
      if (other === undefined) break;
      // They change places, so that only two tiles change and one of them out of sight.
      const [to, from] = [order.indexOf(other), order.indexOf(identity)];
      order[to] = identity;
      order[from] = other;
      first[first.indexOf(other)] = identity;
    }
  }
  const same =
    order.length === before.order.length &&
    order.every((identity, i) => identity === before.order[i]) &&
    heard.size === before.heard.size &&
    [...heard].every(([identity, at]) => before.heard.get(identity) === at);
  return same ? before : { order, heard };
}

function quietest(
  seats: readonly string[],
  heard: ReadonlyMap<string, number>,
  keeps: (identity: string) => boolean,
): string | undefined {
  let found: string | undefined;
  let least = Infinity;
  for (const identity of seats) {
    const at = heard.get(identity) ?? -1;
    // The later of two who never spoke: the first seats are looked at most.
    if (!keeps(identity) && at <= least) [found, least] = [identity, at];
  }
  return found;
}

/** How many pages there are, and which one to show where the wanted one has gone. */
export function pageOf(wanted: number, count: number, capacity: number): { page: number; pages: number } {
  const pages = Math.max(1, Math.ceil(count / Math.max(1, capacity)));
  return { page: Math.min(Math.max(0, wanted), pages - 1), pages };
}
