// SPDX-License-Identifier: EUPL-1.2
/** Lists, numbers and times as the language in use writes them. */
import { language } from './index.ts';

/** “Ada, Bo and Cem”. */
export function listed(items: readonly string[]): string {
  return new Intl.ListFormat(language(), { style: 'long', type: 'conjunction' }).format(items);
}

export function numbered(value: number, options?: Intl.NumberFormatOptions): string {
  return new Intl.NumberFormat(language(), options).format(value);
}

/** The time of day, as in a chat: “14:05”. */
export function timeOf(moment: Date): string {
  return new Intl.DateTimeFormat(language(), { timeStyle: 'short' }).format(moment);
}

/** Day and time: “3 March 2027 at 14:05”. */
export function dateOf(moment: Date): string {
  return new Intl.DateTimeFormat(language(), { dateStyle: 'long', timeStyle: 'short' }).format(moment);
}

/** A day, from its date as ISO writes it: “3 March 2027”, wherever the reader is. */
export function dayOf(date: string): string {
  return new Intl.DateTimeFormat(language(), { dateStyle: 'long', timeZone: 'UTC' }).format(new Date(`${date}T00:00:00Z`));
}

/** For putting people in order by name, as the language does. */
export function byName(a: string, b: string): number {
  return a.localeCompare(b, language(), { sensitivity: 'base', numeric: true });
}
