// SPDX-License-Identifier: EUPL-1.2
import { json, type Json } from '../meeting/protocol.ts';

export interface Attended {
  name: string;
  joined_ms: number;
  /** Nothing while still there. */
  left_ms: number | undefined;
  spoke_ms: number;
}

/** The answer to `attendance.get`; who came first stands first. */
export function attended(answer: Json): Attended[] {
  const people = Array.isArray(answer.people) ? answer.people.map(json).filter((p) => p !== undefined) : [];
  const number = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? value : 0);
  return people
    .map((p) => ({
      name: typeof p.name === 'string' ? p.name : '',
      joined_ms: number(p.joined_ms),
      left_ms: typeof p.left_ms === 'number' ? p.left_ms : undefined,
      spoke_ms: number(p.spoke_ms),
    }))
    .sort((a, b) => a.joined_ms - b.joined_ms);
}
