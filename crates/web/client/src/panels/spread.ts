// SPDX-License-Identifier: EUPL-1.2
/** Spreads people over rooms as evenly as can be, by chance. Gives each one's room, by number. */
export function spread(people: readonly string[], rooms: number, random: () => number = Math.random): Map<string, number> {
  const mixed = [...people];
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [mixed[i], mixed[j]] = [mixed[j] as string, mixed[i] as string];
  }
  return new Map(mixed.map((identity, index) => [identity, index % rooms]));
}
