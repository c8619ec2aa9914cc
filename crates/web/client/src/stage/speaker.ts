// SPDX-License-Identifier: EUPL-1.2
/** Who has the floor in the speaker's view: someone who talks, not someone who coughs, and not changing at every word. */

/** After a change, no other for so long. */
export const HOLD_MS = 2_500;
/** So long one must have talked before one is shown. */
export const TALK_MS = 700;
/** A breath between two words is not silence. */
export const BREATH_MS = 1_000;

export interface Floor {
  /** Who is shown. */
  readonly identity: string | undefined;
  readonly since: number;
  /** Who talks at the moment: since when, and when last heard. */
  readonly talking: ReadonlyMap<string, { since: number; last: number }>;
  /** When to look again although nothing has happened. */
  readonly again: number | undefined;
}

export const NO_FLOOR: Floor = { identity: undefined, since: -Infinity, talking: new Map(), again: undefined };

/** The floor after `before`, where `speaking` are heard now, the loudest first, of all who are `present`. */
export function nextFloor(
  before: Floor,
  speaking: readonly string[],
  present: ReadonlySet<string>,
  now: number,
): Floor {
  const talking = new Map<string, { since: number; last: number }>();
  for (const [identity, { since, last }] of before.talking) {
    if (present.has(identity) && (speaking.includes(identity) || now - last < BREATH_MS)) talking.set(identity, { since, last });
  }
  for (const identity of speaking) {
    if (present.has(identity)) talking.set(identity, { since: talking.get(identity)?.since ?? now, last: now });
  }

  const holder = before.identity !== undefined && present.has(before.identity) ? before.identity : undefined;
  // Nobody was there to be shown: the first who speaks is shown at once.
  if (holder === undefined) {
    const first = speaking.find((identity) => present.has(identity));
    return { identity: first, since: first === undefined ? -Infinity : now, talking, again: undefined };
  }
  if (talking.has(holder)) {
    const breath = speaking.includes(holder) ? undefined : (talking.get(holder)?.last ?? now) + BREATH_MS;
    return { identity: holder, since: before.since, talking, again: talking.size > 1 ? breath : undefined };
  }
  const ready = Math.max(before.since + HOLD_MS, now);
  let again: number | undefined;
  for (const identity of speaking) {
    const since = talking.get(identity)?.since;
    if (since === undefined) continue;
    const at = Math.max(ready, since + TALK_MS);
    if (at <= now) return { identity, since: now, talking, again: undefined };
    again = Math.min(again ?? Infinity, at);
  }
  return { identity: holder, since: before.since, talking, again };
}
