// SPDX-License-Identifier: EUPL-1.2
import encode from 'qr';

/** Light around it (ISO/IEC 18004 asks for four). */
const MARGIN = 4;

/** A text as a code: the side of its square, and the dark squares as the path of a drawing. */
export function qrPath(text: string): { size: number; path: string } {
  const rows = encode(text, 'raw', { ecc: 'medium', border: MARGIN });
  return { size: rows.length, path: rows.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : ''))).join('') };
}
