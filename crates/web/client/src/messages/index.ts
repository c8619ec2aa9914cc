// SPDX-License-Identifier: EUPL-1.2
/**
 * The texts of the language in use: `m.joined({ name })`. Its catalogue is fetched before the first view is shown, and no
 * other one is. A view that calls a message shows the new text by itself when the language changes, in the middle of a call too.
 *
 * A message is a whole sentence. None is put together from pieces, since other languages order them differently. Call a
 * message where it is shown, not when a module is loaded: the catalogue is not there yet by then.
 *
 * Texts of the call are a second part of each language: whoever shows a view of it awaits {@link callTexts} first.
 */
import { createSubscriber } from 'svelte/reactivity';
import { catalogues, type Messages, ofTheCall } from '../../compiled/catalogues.js';
import { BASE, directionOf } from './locales.ts';

let locale = BASE;
let current: Partial<Messages> | undefined;
/** Whether the texts of the call were asked for: another language is fetched with them, then. */
let whole = false;
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
    const parts = await fetchParts(wanted);
    if (parts === undefined) return false;
    current = parts;
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
export async function callTexts(): Promise<void> {
  whole = true;
  const wanted = locale;
  const parts = await fetchParts(wanted);
  // Another language may have come meanwhile, and has its own.
  if (parts !== undefined && locale === wanted) {
    current = parts;
    changed();
  }
}

async function fetchParts(wanted: string): Promise<Partial<Messages> | undefined> {
  const [door, call] = [catalogues[wanted], ofTheCall[wanted]];
  if (door === undefined || call === undefined) return undefined;
  return whole ? { ...(await door()), ...(await call()) } : await door();
}
