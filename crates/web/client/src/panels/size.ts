// SPDX-License-Identifier: EUPL-1.2
import { numbered } from '../messages/format.ts';

const UNITS = ['byte', 'kilobyte', 'megabyte'] as const;

/** “1.4 MB”, as the language writes it. */
export function sizeWords(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1_000 && unit < UNITS.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 10 ? 0 : 1;
  return numbered(value, { style: 'unit', unit: UNITS[unit] ?? 'byte', unitDisplay: 'short', maximumFractionDigits: digits });
}
