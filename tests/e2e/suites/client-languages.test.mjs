// SPDX-License-Identifier: EUPL-1.2
// The language of the client: who gets which, what is fetched for it, how it is chosen and kept, and the views read from the right.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { eventually } from '../support/check.mjs';
import { button, join, openHouse } from '../support/visitors.mjs';

const CLIENT = new URL('../../../crates/web/client/', import.meta.url);
const read = (path) => JSON.parse(readFileSync(new URL(path, CLIENT), 'utf8'));
const { locales } = read('project.inlang/settings.json');
/** A text of the client as the catalogue of a language has it. */
const text = (locale, area, key) => read(`messages/${area}/${locale}.json`)[key];

const house = openHouse();

/** The catalogues that a page asks for from now on, in the order of the alphabet: `fr`, and `fr.call` for the call's texts. */
function fetched(page) {
  const names = new Set();
  page.on('request', (request) => {
    const [, name] = /\/assets\/([a-z]{2}(?:\.call)?)-[\w-]+\.js$/.exec(new URL(request.url()).pathname) ?? [];
    if (name !== undefined && locales.includes(name.slice(0, 2))) names.add(name);
  });
  return () => [...names].sort();
}

const lang = (page) => page.evaluate(() => document.documentElement.lang);
const title = (page, locale) => page.getByRole('heading', { name: text(locale, 'base', 'home_title'), exact: true });

describe('the language', () => {
  it('is the browser’s, and no other is fetched', async () => {
    const { page } = await house.visitors.someone('/', { locale: 'fr-CA' });
    await title(page, 'fr').waitFor();
    const catalogues = fetched(page);
    await page.reload();
    await title(page, 'fr').waitFor();
    assert.equal(await lang(page), 'fr');
    assert.deepEqual(catalogues(), ['fr'], 'the start page needs nothing of the call');

    await page.goto(`${house.server.url}/r/languagetest00000000000000`);
    await page.getByRole('button', { name: text('fr', 'base', 'lobby_join'), exact: true }).waitFor();
    await eventually('the texts of the call', async () => catalogues().includes('fr.call'));
    assert.deepEqual(catalogues(), ['fr', 'fr.call']);
  });

  it('is English where nobody has the one that is asked for', async () => {
    const { page } = await house.visitors.someone('/', { locale: 'ja-JP' });
    await title(page, 'en').waitFor();
    assert.equal(await lang(page), 'en');
  });

  it('is changed below the page, at once, and stays after a reload, into the call too', async () => {
    const { page } = await house.visitors.someone('/', { locale: 'fr-FR' });
    await title(page, 'fr').waitFor();
    await page.getByLabel(text('fr', 'base', 'language_label')).selectOption({ label: 'Deutsch' });
    await title(page, 'de').waitFor();
    assert.equal(await lang(page), 'de');
    assert.equal(await title(page, 'fr').count(), 0);

    const catalogues = fetched(page);
    await page.reload();
    await title(page, 'de').waitFor();
    assert.equal(await lang(page), 'de');
    assert.deepEqual(catalogues(), ['de']);

    await page.goto(`${house.server.url}/r/languagetest00000000000000`);
    await page.getByLabel(text('de', 'base', 'lobby_name_label')).fill('Ada');
    await page.getByRole('button', { name: text('de', 'base', 'lobby_join'), exact: true }).click();
    await page.getByRole('button', { name: text('de', 'base', 'leave'), exact: true }).waitFor({ timeout: 20_000 });
    assert.deepEqual(catalogues(), ['de', 'de.call']);
  });
});

/** Where something begins, from the left edge of the window. */
const left = async (locator) => (await locator.boundingBox()).x;

/** What reaches over the edge of the window sideways. */
const beyond = (page) =>
  page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return scrollWidth > clientWidth ? [`${scrollWidth} of ${clientWidth} px`] : [];
  });

describe('read from the right', () => {
  const turn = (page) => page.evaluate(() => (document.documentElement.dir = 'rtl'));

  it('the start page is mirrored, and nothing reaches over the edge', async () => {
    const { page } = await house.visitors.someone('/', { viewport: { width: 1280, height: 720 } });
    const heading = title(page, 'en');
    const field = page.getByLabel('Meeting link');
    await heading.waitFor();
    assert.ok((await left(heading)) < (await left(field)), 'the heading is on the left');
    await turn(page);
    assert.ok((await left(heading)) > (await left(field)), 'the heading is on the right');
    assert.deepEqual(await beyond(page), []);
    await page.setViewportSize({ width: 320, height: 568 });
    assert.deepEqual(await beyond(page), []);
  });

  it('so are the page before the call and the call, with its panels on the other side', async () => {
    const ada = await house.visitors.someone('/r/languagetest00000000000001', { viewport: { width: 1280, height: 720 } });
    const { page } = ada;
    await page.getByLabel('Your name').waitFor();
    await turn(page);
    assert.deepEqual(await beyond(page), []);
    await join(ada, 'Ada');
    await button(ada, /^Chat/).click();
    const chat = page.getByRole('heading', { name: 'Chat', exact: true });
    await chat.waitFor();
    assert.ok((await left(chat)) < 640, 'the panel is on the left');
    assert.deepEqual(await beyond(page), []);
    await page.evaluate(() => (document.documentElement.dir = 'ltr'));
    assert.ok((await left(chat)) > 640, 'and on the right otherwise');
    await turn(page);
    await page.setViewportSize({ width: 320, height: 568 });
    // The stage is laid out anew when the page has taken note of its size.
    await eventually('all within 320 pixels', async () => (await beyond(page)).length === 0, 5000);
  });
});
