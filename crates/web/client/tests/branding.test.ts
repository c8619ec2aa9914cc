// SPDX-License-Identifier: EUPL-1.2
import { expect, test } from 'vitest';
import { branding, loadBranding, parseBranding, variablesOf } from '../src/branding.ts';
import { m } from '../src/messages/index.ts';

const BUILT = { name: 'Parvis', logo: undefined, light: undefined, dark: undefined, links: {}, language: undefined };

test('what the server says is shown, and what it leaves out is as it is built', () => {
  expect(parseBranding({ links: {} })).toEqual(BUILT);
  const light = { accent: '#7a1f3d', onAccent: '#ffffff' };
  const said = { name: 'Visio', logo: '/api/branding/logo', light, links: { privacy: 'https://example.org/p' }, language: 'fr' };
  expect(parseBranding(said)).toEqual({ ...BUILT, ...said });
});

test('what is of another form is left out, and nothing of it reaches a link, a picture or a style', () => {
  for (const foul of [null, 3, [], 'x', { name: 7, logo: {}, light: 'red', dark: { accent: 'red' }, links: 'x', language: '../fr' }]) {
    expect(parseBranding(foul)).toEqual(BUILT);
  }
  const foul = parseBranding({
    logo: '//elsewhere.example/x',
    light: { accent: '#ffffff;} *{', onAccent: '#000000' },
    links: { terms: 'javascript:alert(1)', imprint: 'http://a.example/', privacy: 'https://', other: 'https://a.example/' },
  });
  expect(foul).toEqual(BUILT);
});

test('the page has its own colours where none are said', () => {
  const light = { accent: '#7a1f3d', onAccent: '#ffffff' };
  expect(variablesOf({ light, dark: undefined }, true).size).toBe(0);
  expect(variablesOf({ light, dark: undefined }, false).get('--accent')).toBe('#7a1f3d');
});

test('without an answer the client is as it is built, and with one it has the name', async () => {
  const answers = (response: () => Promise<Response>) => loadBranding(response as typeof fetch, 50);
  expect(await answers(() => Promise.reject(new TypeError('no network')))).toEqual(BUILT);
  expect(await answers(async () => new Response('not found', { status: 404 }))).toEqual(BUILT);
  expect(await answers(async () => new Response('<html>'))).toEqual(BUILT);
  expect(branding().name).toBe('Parvis');
  await answers(async () => new Response(JSON.stringify({ name: 'Visio', links: {} })));
  expect(branding().name).toBe('Visio');
  expect(m.home_lead({ app: branding().name })).toMatch(/^Visio is/);
});
