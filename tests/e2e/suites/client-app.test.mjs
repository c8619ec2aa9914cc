// SPDX-License-Identifier: EUPL-1.2
// The client as an installed app: what its service worker keeps, and what it shows without a network.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../support/check.mjs';
import { button, join, openHouse } from '../support/visitors.mjs';

const house = openHouse();

const ROOM = '/r/apptest00000000000000000000';
const KEY = 'k'.repeat(42) + 'A';

/** Someone whose browser has a service worker in charge of the page. */
async function installed() {
  const person = await house.visitors.someone('/', { serviceWorkers: 'allow' });
  await person.page.evaluate(() => navigator.serviceWorker.ready);
  await person.page.reload();
  await eventually('a service worker in charge', () => person.page.evaluate(() => navigator.serviceWorker.controller !== null));
  return person;
}

const kept = ({ page }) =>
  page.evaluate(async () => {
    const found = {};
    for (const name of await caches.keys()) {
      const store = await caches.open(name);
      for (const request of await store.keys()) found[request.url] = await (await store.match(request)).text();
    }
    return found;
  });

describe('the manifest', () => {
  it('names icons that are there, each of the size that it says', async () => {
    const { page } = await house.visitors.someone();
    const manifest = await page.evaluate(async () => (await fetch(document.querySelector('link[rel=manifest]').href)).json());
    assert.equal(manifest.display, 'standalone');
    for (const { src, sizes, type } of manifest.icons) {
      const answer = await fetch(house.server.url + src);
      assert.equal(answer.headers.get('content-type'), type, src);
      const size = await page.evaluate(async (src) => {
        const image = new Image();
        image.src = src;
        await image.decode();
        return `${image.naturalWidth}x${image.naturalHeight}`;
      }, src);
      if (sizes !== 'any') assert.equal(size, sizes, src);
    }
  });
});

describe('the service worker', () => {
  it('keeps the client’s own files and nothing of anyone', async () => {
    const ada = await installed();
    await ada.page.goto(`${house.server.url}${ROOM}#k=${KEY}`);
    await join(ada, 'Ada Unmistakable');
    await eventually('files kept', async () => Object.keys(await kept(ada)).length >= 4);
    const found = await kept(ada);
    for (const [url, text] of Object.entries(found)) {
      const { pathname, search, hash } = new URL(url);
      assert.match(pathname, /^\/(assets\/[\w.-]+\.(js|css))?$/, url);
      assert.equal(search + hash, '', url);
      for (const secret of ['eyJ', KEY, 'Ada Unmistakable', ROOM.slice(3)]) assert.ok(!text.includes(secret), `${secret} in ${url}`);
    }
    assert.equal((await ada.page.evaluate(() => caches.keys())).length, 1);
  });

  it('says in words that there is no network, and goes on when it is back', async () => {
    const ada = await installed();
    await ada.context.setOffline(true);
    await ada.page.goto(house.server.url + ROOM).catch(() => {});
    await ada.page.getByRole('heading', { name: 'The server cannot be reached' }).waitFor();
    const policy = await ada.page.evaluate(() => document.querySelector('script:not([src]), style') === null);
    assert.ok(policy, 'the page holds no script or style of its own');
    await ada.context.setOffline(false);
    await button(ada, 'Try again').click().catch(() => {});
    await ada.page.getByLabel('Your name').waitFor();
    assert.equal(new URL(ada.page.url()).pathname, ROOM);
    // The browser says in the console what this test did to it.
    ada.wrongs.splice(0, ada.wrongs.length, ...ada.wrongs.filter((each) => !/ERR_INTERNET_DISCONNECTED|Failed to fetch/.test(each)));
  });
});
