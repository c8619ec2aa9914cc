// SPDX-License-Identifier: EUPL-1.2
/** So many rows more than are in sight, above and below: a quick scroll shows no gap. */
const BESIDE = 6;

/** Which rows of a list are to be in the page, for a list of rows of one height in a frame that has been scrolled so far. */
export function windowOf(count: number, row: number, scrolled: number, height: number): { from: number; to: number } {
  if (row <= 0) return { from: 0, to: 0 };
  const first = Math.floor(scrolled / row);
  const from = Math.max(0, Math.min(first - BESIDE, count - 1));
  const to = Math.min(count, first + Math.ceil(height / row) + BESIDE);
  return { from, to: Math.max(from, to) };
}
