// SPDX-License-Identifier: EUPL-1.2
import { expect, test } from 'vitest';
import { branding, loadBranding, parseBranding, showColours, variablesOf } from '../src/branding.ts';
import { m } from '../src/messages/index.ts';

const BUILT = { name: 'Parvis', logo: undefined, light: undefined, dark: undefined, links: {} };

test('what the server says is shown, and what it leaves out is as it is built', () => {
  expect(parseBranding({ links: {} })).toEqual(BUILT);
  const light = { accent: '#7a1f3d', onAccent: '#ffffff' };
  const said = { name: 'Visio', logo: '/api/branding/logo', light, links: { privacy: 'https://example.org/p' } };
  expect(parseBranding(said)).toEqual({ ...BUILT, ...said });
});

test('what is of another form is left out, and nothing of it reaches a link, a picture or a style', () => {
  for (const foul of [null, 3, [], 'x', { name: 7, logo: {}, light: 'red', dark: { accent: 'red' }, links: 'x' }]) {
    expect(parseBranding(foul)).toEqual(BUILT);
  }
  const foul = parseBranding({
    logo: '//elsewhere.example/x',
    light: { accent: '#ffffff;} *{', onAccent: '#000000' },
    links: { terms: 'javascript:alert(1)', imprint: 'http://a.example/', privacy: 'https://', other: 'https://a.example/' },
  });
  expect(foul).toEqual(BUILT);
});

test('the page has the colours of its time of day, and its own where none are said', () => {
  const light = { accent: '#7a1f3d', onAccent: '#ffffff' };
  expect(variablesOf({ light, dark: undefined }, true).size).toBe(0);
  expect(variablesOf({ light, dark: undefined }, false).get('--accent')).toBe('#7a1f3d');
  const dark = { accent: '#d08a9f', onAccent: '#000000' };
  const values = new Map<string, string>();
  const style = {
    setProperty: (name: string, value: string) => void values.set(name, value),
    removeProperty: (name: string) => String(values.delete(name)),
  };
  let changed = () => {};
  const query = { matches: false, addEventListener: (_: string, listener: () => void) => (changed = listener) };
  const look = { ...BUILT, light, dark };
  showColours(look, style as unknown as CSSStyleDeclaration, query as unknown as MediaQueryList);
  expect(values.get('--accent')).toBe('#7a1f3d');
  query.matches = true;
  changed();
  expect([values.get('--accent'), values.get('--on-accent')]).toEqual(['#d08a9f', '#000000']);
});

test('without an answer the client is as it is built, and with one it has the name', async () => {
  const answers = (response: () => Promise<Response>) => loadBranding(response as typeof fetch, 50);
  expect(await answers(() => Promise.reject(new TypeError('no network')))).toEqual(BUILT);
  expect(await answers(async () => new Response('not found', { status: 404 }))).toEqual(BUILT);
  expect(await answers(async () => new Response('<html>'))).toEqual(BUILT);
  expect(m.app_name()).toBe('Parvis');
  await answers(async () => new Response(JSON.stringify({ name: 'Visio', links: {} })));
  expect([branding().name, m.app_name()]).toEqual(['Visio', 'Visio']);
  expect(m.home_lead()).toMatch(/^Visio is/);
});
