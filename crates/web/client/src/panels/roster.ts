// SPDX-License-Identifier: EUPL-1.2
/** Who is listed in the panel of people, in which order. */
import type { Breakouts, Role } from '../meeting/protocol.ts';
import { type MeetingState, roleOf } from '../meeting/state.ts';
import { byName } from '../messages/format.ts';
import type { Person } from '../room/state.ts';

export interface Row {
  identity: string;
  name: string;
  isLocal: boolean;
  muted: boolean;
  speaking: boolean;
  camera: boolean;
  role: Role;
  /** The place in the queue, from 1. */
  hand: number | undefined;
  spotlit: boolean;
  /** In a breakout room, or a viewer: whether the microphone and the camera are on is not known here. */
  elsewhere?: true;
}

/** A row of somebody who is in no list of this room. */
export function unlisted(identity: string, name: string, role: Role): Row {
  return { identity, name, role, isLocal: false, muted: true, speaking: false, camera: false, hand: undefined, spotlit: false, elsewhere: true };
}

type Known = Pick<MeetingState, 'members' | 'hands'>;

/** Raised hands in their order, also of viewers, who are in no other list; then oneself, then those who conduct, then by name. */
export function rows(people: readonly Person[], meeting: Known, nameless: string, search = ''): Row[] {
  const places = handPlaces(meeting.hands);
  const wanted = folded(search);
  const here = new Set(people.map(({ identity }) => identity));
  const viewers = meeting.hands
    .filter(({ identity }) => !here.has(identity))
    .map(({ identity, name }) => ({ identity, name, isLocal: false, muted: true, speaking: false, camera: undefined }));
  const found = [...people, ...viewers]
    .map((person) => ({
      identity: person.identity,
      name: person.name === '' ? nameless : person.name,
      isLocal: person.isLocal,
      muted: person.muted,
      speaking: person.speaking,
      camera: person.camera !== undefined,
      role: here.has(person.identity) ? roleOf(meeting, person.identity) : ('viewer' as const),
      hand: places.get(person.identity),
      spotlit: meeting.members.spotlight.includes(person.identity),
    }))
    .filter((row) => wanted === '' || folded(row.name).includes(wanted));
  const rank = (row: Row) => (row.isLocal ? 0 : row.role === 'owner' ? 1 : row.role === 'moderator' ? 2 : 3);
  return found.sort(
    (a, b) =>
      (a.hand ?? Infinity) - (b.hand ?? Infinity) || rank(a) - rank(b) || byName(a.name, b.name) || (a.identity < b.identity ? -1 : 1),
  );
}

/** How many are in breakout rooms other than one's own. */
export function peopleElsewhere(breakouts: Breakouts | undefined): number {
  const others = breakouts?.rooms.filter(({ id }) => id !== breakouts.mine) ?? [];
  return others.reduce((sum, { members }) => sum + members.length, 0);
}

export function handPlaces(hands: MeetingState['hands']): Map<string, number> {
  return new Map(hands.map(({ identity }, index) => [identity, index + 1]));
}

/** So that “eric” finds “Éric”. */
function folded(text: string): string {
  return text.normalize('NFD').replace(/\p{M}/gu, '').toLocaleLowerCase().trim();
}

/** Names of those who were seen: whoever is in a breakout room is not among those here, and still has one. */
const seen = new Map<string, string>();
export const SEEN_AT_MOST = 2_000;

/** Keeps the names of those who are here for when they are elsewhere; the oldest are forgotten. */
export function remember(people: readonly Pick<Person, 'identity' | 'name'>[]): void {
  for (const { identity, name } of people) {
    if (name === '' || seen.get(identity) === name) continue;
    seen.delete(identity);
    seen.set(identity, name);
  }
  for (const oldest of seen.keys()) {
    if (seen.size <= SEEN_AT_MOST) return;
    seen.delete(oldest);
  }
}

/** `by` of an event: an identity of somebody here or seen before, or a name as it was said. */
export function nameOf(people: readonly Person[], who: string, nameless: string): string {
  const person = people.find((p) => p.identity === who);
  const name = person?.name ?? seen.get(who) ?? who;
  return name === '' ? nameless : name;
}
