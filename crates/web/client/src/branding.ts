// SPDX-License-Identifier: EUPL-1.2
/** How the client looks here: the name, mark, colours and links of whoever runs the server, asked for before it shows itself. */

export interface Colours {
  accent: string;
  onAccent: string;
}

export type LinkName = 'imprint' | 'privacy' | 'terms' | 'accessibility';

export interface Branding {
  name: string;
  logo: string | undefined;
  light: Colours | undefined;
  dark: Colours | undefined;
  links: Partial<Record<LinkName, string>>;
  /** The language of those whose browser asks for none that the client has. */
  language: string | undefined;
}

export const LINK_NAMES: readonly LinkName[] = ['imprint', 'privacy', 'terms', 'accessibility'];

/** As it is built. */
const BUILT: Branding = { name: 'Parvis', logo: undefined, light: undefined, dark: undefined, links: {}, language: undefined };

/** How long the page waits for an answer. After that it shows itself as it is built, and stays so. */
const PATIENCE_MS = 1500;

let current: Branding = BUILT;

export function branding(): Branding {
  return current;
}

/** Asks the server. Whatever goes wrong, the client is there. */
export async function loadBranding(fetcher: typeof fetch = fetch, patience = PATIENCE_MS): Promise<Branding> {
  try {
    const response = await fetcher('/api/branding', { signal: AbortSignal.timeout(patience) });
    if (response.ok) current = parseBranding(await response.json());
  } catch {
    // An older server, or none: the meeting itself will say so.
  }
  return current;
}

/** Takes what is of the expected form, and leaves the rest as it is built. */
export function parseBranding(answer: unknown): Branding {
  const said = recordOf(answer);
  const links: Branding['links'] = {};
  for (const name of LINK_NAMES) {
    const link = recordOf(said.links)[name];
    if (typeof link === 'string' && URL.canParse(link) && new URL(link).protocol === 'https:') links[name] = link;
  }
  return {
    name: typeof said.name === 'string' && said.name !== '' ? said.name : BUILT.name,
    // A place of this server's own, and nothing else.
    logo: typeof said.logo === 'string' && /^\/[a-z]/.test(said.logo) ? said.logo : undefined,
    light: coloursOf(said.light),
    dark: coloursOf(said.dark),
    links,
    language: typeof said.language === 'string' && /^[a-z]{2}$/.test(said.language) ? said.language : undefined,
  };
}

/** What stands in place of the theme's own variables, on a light page or a dark one. */
export function variablesOf({ light, dark }: Pick<Branding, 'light' | 'dark'>, isDark: boolean): Map<string, string> {
  const colours = isDark ? dark : light;
  if (colours === undefined) return new Map();
  const mixed = (share: number, other: string) => `color-mix(in srgb, ${colours.accent} ${share}%, ${other})`;
  return new Map([
    ['--accent', colours.accent],
    ['--accent-hover', mixed(85, isDark ? 'white' : 'black')],
    ['--on-accent', colours.onAccent],
    ['--accent-soft', mixed(15, 'var(--surface)')],
  ]);
}

function coloursOf(said: unknown): Colours | undefined {
  const { accent, onAccent } = recordOf(said);
  const isColour = (text: unknown): text is string => typeof text === 'string' && /^#[0-9a-f]{6}$/.test(text);
  return isColour(accent) && isColour(onAccent) ? { accent, onAccent } : undefined;
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
