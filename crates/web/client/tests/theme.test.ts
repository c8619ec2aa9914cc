// SPDX-License-Identifier: EUPL-1.2
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Look } from '../src/theme.ts';

const css = readFileSync(new URL('../src/theme.css', import.meta.url), 'utf8');
type Scheme = 'light' | 'dark';

/** The tokens of one rule, each as a pair of colours. */
function tokens(selector: string): Map<string, string> {
  const rule = css.slice(css.indexOf(`${selector} {`)).split('\n}')[0] ?? '';
  return new Map([...rule.matchAll(/(--[\w-]+): ([^;]+);/g)].map(([, name, value]) => [name ?? '', value ?? '']));
}

const usual = tokens(':root');
const high = new Map([...usual, ...tokens(":root[data-contrast='more']")]);

type Rgba = [number, number, number, number];

function colourOf(look: Map<string, string>, name: string, scheme: Scheme): Rgba {
  const value = look.get(`--${name}`);
  if (value === undefined) throw new Error(`theme.css has no --${name}`);
  const pair = /^light-dark\((.+?\)?), (.+)\)$/.exec(value);
  const colour = pair === null ? value : pair[scheme === 'light' ? 1 : 2];
  const hex = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/.exec(colour ?? '');
  if (hex) return [parseInt(hex[1] ?? '', 16), parseInt(hex[2] ?? '', 16), parseInt(hex[3] ?? '', 16), 1];
  const rgb = /^rgb\((\d+) (\d+) (\d+) \/ (\d+)%\)$/.exec(colour ?? '');
  if (rgb) return [Number(rgb[1]), Number(rgb[2]), Number(rgb[3]), Number(rgb[4]) / 100];
  throw new Error(`--${name} is ${colour}: not a colour that can be measured`);
}

function over([r, g, b, a]: Rgba, ground: Rgba): Rgba {
  const mix = (top: number, below: number) => top * a + below * (1 - a);
  return [mix(r, ground[0]), mix(g, ground[1]), mix(b, ground[2]), 1];
}

/** WCAG 2.2, “relative luminance” and “contrast ratio”. */
function contrast(one: Rgba, other: Rgba): number {
  const light = ([r, g, b]: Rgba) => {
    const linear = (c: number) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  };
  const [a, b] = [light(one), light(other)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

/** What is written, and the grounds it is written on. */
const TEXTS: Record<string, string[]> = {
  text: ['ground', 'ground-call', 'surface', 'surface-sunk', 'surface-hover', 'accent-soft'],
  'text-soft': ['ground', 'ground-call', 'surface', 'surface-sunk', 'surface-hover'],
  accent: ['ground', 'surface'],
  'on-accent': ['accent', 'accent-hover'],
  'on-danger': ['danger', 'danger-hover'],
  'danger-text': ['danger-soft', 'surface', 'ground'],
  'warn-text': ['warn-soft'],
  'on-tone': ['tone-0', 'tone-1', 'tone-2', 'tone-3', 'tone-4', 'tone-5', 'tone-6', 'tone-7'],
};
/** What has a meaning and is no text: borders of fields, the ring of focus and of who speaks, the level. */
const PARTS: Record<string, string[]> = {
  'line-strong': ['surface', 'ground', 'ground-call'],
  accent: ['ground', 'ground-call', 'surface', 'surface-sunk', 'accent-soft'],
  danger: ['surface', 'ground'],
  speaking: ['ground-call'],
  level: ['surface-sunk'],
};

test.each([
  ['as usual', usual, 4.5, 3],
  ['with high contrast', high, 7, 4.5],
] as const)('every text and part stands out from its ground, %s, on light and dark', (_, look, least, leastPart) => {
  const weak: string[] = [];
  for (const scheme of ['light', 'dark'] as const) {
    const colour = (name: string) => colourOf(look, name, scheme);
    const measure = (pairs: Record<string, string[]>, bound: number) => {
      for (const [name, grounds] of Object.entries(pairs)) {
        for (const ground of grounds) {
          const ratio = contrast(colour(name), colour(ground));
          if (ratio < bound) weak.push(`${scheme}: ${name} on ${ground} is ${ratio.toFixed(2)}, less than ${bound}`);
        }
      }
    };
    measure(TEXTS, least);
    measure(PARTS, leastPart);
    // Over a picture of any colour: the scrim must do.
    for (const picture of [[255, 255, 255, 1], [0, 0, 0, 1]] satisfies Rgba[]) {
      const ratio = contrast(colour('on-scrim'), over(colour('scrim'), picture));
      if (ratio < least) weak.push(`${scheme}: on-scrim over a picture is ${ratio.toFixed(2)}, less than ${least}`);
    }
  }
  expect(weak).toEqual([]);
});

test('the measure is WCAG’s own', () => {
  expect(contrast([0, 0, 0, 1], [255, 255, 255, 1])).toBeCloseTo(21, 5);
  expect(contrast([118, 118, 118, 1], [255, 255, 255, 1])).toBeCloseTo(4.54, 2);
});

function page() {
  const values = new Map<string, string>();
  const dataset: Record<string, string> = {};
  const style = {
    setProperty: (name: string, value: string) => void values.set(name, value),
    removeProperty: (name: string) => String(values.delete(name)),
  };
  return { values, dataset, element: { dataset, style } as unknown as HTMLElement };
}

function wish(matches: boolean) {
  const listeners: (() => void)[] = [];
  const query = { matches, addEventListener: (_: string, listener: () => void) => void listeners.push(listener) };
  const change = (now: boolean) => {
    query.matches = now;
    for (const listener of listeners) listener();
  };
  return { query: query as unknown as MediaQueryList, change };
}

test('the page follows the system until someone chooses, and then keeps to that', () => {
  const { dataset, element } = page();
  const [dark, contrasts] = [wish(false), wish(false)];
  const look = new Look(element, { dark: dark.query, contrast: contrasts.query }, 'system');
  expect(dataset).toEqual({ scheme: 'light' });
  dark.change(true);
  expect(dataset).toEqual({ scheme: 'dark' });
  look.choose('light');
  expect(dataset).toEqual({ scheme: 'light' });
  look.choose('contrast');
  expect(dataset).toEqual({ scheme: 'dark', contrast: 'more' });
  look.choose('system');
  contrasts.change(true);
  expect(dataset).toEqual({ scheme: 'dark', contrast: 'more' });
});

test('the server’s colours are those of the page’s scheme, and high contrast goes before them', () => {
  const { values, element } = page();
  const [dark, contrasts] = [wish(false), wish(false)];
  const look = new Look(element, { dark: dark.query, contrast: contrasts.query }, 'system');
  look.brand({ light: { accent: '#7a1f3d', onAccent: '#ffffff' }, dark: { accent: '#d08a9f', onAccent: '#000000' } });
  expect(values.get('--accent')).toBe('#7a1f3d');
  dark.change(true);
  expect([values.get('--accent'), values.get('--on-accent')]).toEqual(['#d08a9f', '#000000']);
  look.choose('contrast');
  expect([...values]).toEqual([]);
  look.choose('light');
  expect(values.get('--accent')).toBe('#7a1f3d');
});
