// SPDX-License-Identifier: EUPL-1.2
/** Light, dark or high contrast: what the system wishes, unless someone chose otherwise here. */
import { variablesOf, type Branding } from './branding.ts';
import type { Theme } from './settings.ts';

/** What the system wishes, and a way to hear when that changes. */
export interface Wishes {
  dark: Pick<MediaQueryList, 'matches' | 'addEventListener'>;
  contrast: Pick<MediaQueryList, 'matches' | 'addEventListener'>;
}

type Page = Pick<HTMLElement, 'dataset' | 'style'>;

export class Look {
  #theme: Theme;
  #branding: Pick<Branding, 'light' | 'dark'> | undefined;
  readonly #page: Page;
  readonly #wishes: Wishes;

  constructor(page: Page, wishes: Wishes, theme: Theme) {
    this.#page = page;
    this.#wishes = wishes;
    this.#theme = theme;
    for (const wish of [wishes.dark, wishes.contrast]) wish.addEventListener('change', () => this.#show());
    this.#show();
  }

  choose(theme: Theme): void {
    this.#theme = theme;
    this.#show();
  }

  /** The colours of whoever runs the server. High contrast goes before them. */
  brand(branding: Pick<Branding, 'light' | 'dark'>): void {
    this.#branding = branding;
    this.#show();
  }

  #show(): void {
    const chosen = this.#theme === 'light' || this.#theme === 'dark';
    const dark = chosen ? this.#theme === 'dark' : this.#wishes.dark.matches;
    const contrast = this.#theme === 'contrast' || this.#wishes.contrast.matches;
    const { dataset, style } = this.#page;
    dataset.scheme = dark ? 'dark' : 'light';
    if (contrast) dataset.contrast = 'more';
    else delete dataset.contrast;
    if (this.#branding === undefined) return;
    const { light, dark: night } = this.#branding;
    const names = [...variablesOf({ light, dark: night }, true).keys(), ...variablesOf({ light, dark: night }, false).keys()];
    for (const name of names) style.removeProperty(name);
    if (contrast) return;
    for (const [name, value] of variablesOf({ light, dark: night }, dark)) style.setProperty(name, value);
  }
}

let shown: Look | undefined;

/** Dresses the page. Called once, before anything is shown. */
export function startLook(theme: Theme): Look {
  shown = new Look(
    document.documentElement,
    { dark: matchMedia('(prefers-color-scheme: dark)'), contrast: matchMedia('(prefers-contrast: more)') },
    theme,
  );
  return shown;
}

export function chooseTheme(theme: Theme): void {
  shown?.choose(theme);
}
