// SPDX-License-Identifier: EUPL-1.2
/**
 * The texts of the language in use: `m.joined({ name })`. Its catalogue is fetched before the first view is shown, and no
 * other one is. A view that calls a message shows the new text by itself when the language changes, in the middle of a call too.
 *
 * A message is a whole sentence. None is put together from pieces, since other languages order them differently. Call a
 * message where it is shown, not when a module is loaded: the catalogue is not there yet by then.
 */
import { createSubscriber } from 'svelte/reactivity';
import { catalogues, type Messages } from '../../compiled/catalogues.js';
import { BASE, directionOf } from './locales.ts';

let locale = BASE;
let current: Messages | undefined;
let changed = () => {};
const follow = createSubscriber((update) => {
  changed = update;
  return () => (changed = () => {});
});

export const m: Messages = new Proxy({} as Messages, {
  get(_, key) {
    follow();
    if (current === undefined) throw new Error(`the message ${String(key)} was called before its catalogue came`);
    return current[key as keyof Messages];
  },
});

/** The language in use, as a tag for `Intl` and `lang`. */
export function language(): string {
  follow();
  return locale;
}

/** Fetches a language and changes to it. A language that cannot be fetched leaves the one in use. */
export async function useLanguage(wanted: string): Promise<boolean> {
  const load = catalogues[wanted];
  if (load === undefined) return false;
  try {
    current = await load();
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
