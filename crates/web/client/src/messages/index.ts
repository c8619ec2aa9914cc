// SPDX-License-Identifier: EUPL-1.2
/**
 * The texts of the language in use: `m.joined({ name })`. Its catalogue is fetched before the first view is shown, and no
 * other one is. A view that calls a message shows the new text by itself when the language changes, in the middle of a call too.
 *
 * A message is a whole sentence. None is put together from pieces, since other languages order them differently. Call a
 * message where it is shown, not when a module is loaded: the catalogue is not there yet by then.
 *
 * Texts of the call are a second part of each language: whoever shows a view of it awaits {@link callTexts} first. A third is what is
 * shown when somebody asks for it, panels and pages beside the call: {@link allTexts}.
 */
import { createSubscriber } from 'svelte/reactivity';
import { catalogues, type Messages, ofTheCall, whenAsked } from '../../compiled/catalogues.js';
import { BASE, directionOf } from './locales.ts';

let locale = BASE;
let current: Partial<Messages> | undefined;
const PARTS = [catalogues, ofTheCall, whenAsked];
/** So many of them were asked for: another language is fetched with as many. */
let parts = 1;
let changed = () => {};
const follow = createSubscriber((update) => {
  changed = update;
  return () => (changed = () => {});
});

export const m: Messages = new Proxy({} as Messages, {
  get(_, key) {
    follow();
    const message = current?.[key as keyof Messages];
    if (message === undefined) throw new Error(`the message ${String(key)} was called before its catalogue came`);
    return message;
  },
});

/** The language in use, as a tag for `Intl` and `lang`. */
export function language(): string {
  follow();
  return locale;
}

/** Fetches a language and changes to it. A language that cannot be fetched leaves the one in use. */
export async function useLanguage(wanted: string): Promise<boolean> {
  try {
    const texts = await fetchParts(wanted);
    if (texts === undefined) return false;
    current = texts;
  } catch {
    return false;
  }
  locale = wanted;
  if (typeof document !== 'undefined') {
    document.documentElement.lang = locale;
    document.documentElement.dir = directionOf(locale);
  }
  changed();
  return true;
}

/** Has the texts of the call as well, from now on in every language. Fails where they can't be fetched. */
export const callTexts = (): Promise<void> => moreTexts(2);

/** Has every text, likewise. */
export const allTexts = (): Promise<void> => moreTexts(3);

async function moreTexts(count: number): Promise<void> {
  parts = Math.max(parts, count);
  const wanted = locale;
  const texts = await fetchParts(wanted);
  // Another language may have come meanwhile, and has its own.
  if (texts !== undefined && locale === wanted) {
    current = texts;
    changed();
  }
}

async function fetchParts(wanted: string): Promise<Partial<Messages> | undefined> {
  for (;;) {
    const count = parts;
    const found = await Promise.all(PARTS.slice(0, count).map(async (part) => part[wanted]?.()));
    if (found.includes(undefined)) return undefined;
    // More may have been asked for meanwhile: a view that has all of its texts is not to lose some.
    if (count === parts) return Object.assign({}, ...found);
  }
}
