// SPDX-License-Identifier: EUPL-1.2
/** The languages that the client has, and which one a person gets. */
import { names } from '../../compiled/catalogues.js';

/** The language that every message is first written in. */
export const BASE = 'en';

/** The languages that are complete, in the order of their own names. */
export const LOCALES: readonly string[] = Object.keys(names);

/** What a language calls itself: “français”. */
export function nameOf(locale: string): string {
  return names[locale] ?? locale;
}

/** None of the Union's languages is written from the right; the views are ready for those that are. */
export function directionOf(locale: string): 'ltr' | 'rtl' {
  return /^(ar|arc|ckb|dv|fa|he|ps|sd|ug|ur|yi)(-|$)/.test(locale) ? 'rtl' : 'ltr';
}

/**
 * The first language that someone wants and we have: what they chose here, then what their browser asks for in its order, then
 * what this server prefers. “de-AT” is served by “de”.
 */
export function wantedLocale(
  wishes: { chosen?: string | undefined; browser?: readonly string[]; server?: string | undefined },
  offered: readonly string[] = LOCALES,
): string | undefined {
  for (const tag of [wishes.chosen, ...(wishes.browser ?? []), wishes.server]) {
    const primary = tag?.toLowerCase().split(/[-_]/)[0];
    if (primary !== undefined && offered.includes(primary)) return primary;
  }
  return undefined;
}
