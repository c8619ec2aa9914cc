// SPDX-License-Identifier: EUPL-1.2
// The pages against those who would use them for something else: sites that frame them, scripts, messages from other windows.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, afterEach, before, describe, it } from 'node:test';
import { eventually } from '../support/check.mjs';
import { Server } from '../support/server.mjs';
import { Visitors } from '../support/visitors.mjs';

const ROOM = '/r/pagetest0000000000000000000';
const PAGES = ['/', '/check', '/accessibility', ROOM, '/live/none'];
let site;
let server;
let visitors;
before(async () => {
  // A site of someone else: it frames whatever its address asks for.
  site = createServer((request, response) => {
    const framed = new URL(request.url, 'http://site').searchParams.get('frame');
    response.writeHead(200, { 'content-type': 'text/html' });
    response.end(`<!doctype html><iframe src="${framed}" width="800" height="600"></iframe>`);
  });
  await new Promise((done) => site.listen(0, '127.0.0.1', done));
  site.url = `http://127.0.0.1:${site.address().port}`;
  server = await Server.start();
  visitors = await Visitors.of(server);
});
after(async () => {
  await visitors?.close();
  await server?.stop();
  site.close();
});
afterEach(() => visitors.leave());

/** What another site's frame shows of a page of a server, as text; nothing where the browser refused it. */
async function framed(of, path) {
  const context = await visitors.browser.newContext({ serviceWorkers: 'block' });
  const page = await context.newPage();
  await page.goto(`${site.url}/?frame=${encodeURIComponent(of.url + path)}`);
  const frame = page.frames()[1];
  const shown = await frame.waitForSelector('h1', { timeout: 5_000 }).then((heading) => heading.textContent(), () => undefined);
  await context.close();
  return shown;
}

describe('row 60: a page of another site', () => {
  it('can’t show ours within its own', async () => {
    for (const path of ['/', ROOM]) assert.equal(await framed(server, path), undefined, path);
  });

  it('can, where the operator has named it, and only then', async () => {
    const named = await Server.configured(`[http]\nframe_ancestors = ["${site.url}"]\n`);
    try {
      assert.match(await framed(named, '/'), /\w/);
      const policy = (await fetch(named.url)).headers.get('content-security-policy');
      assert.match(policy, new RegExp(`frame-ancestors 'self' ${site.url}(;|$)`));
      await named.reload('[http]\nframe_ancestors = ["https://intranet.example.org"]\n');
      assert.equal(await framed(named, '/'), undefined);
    } finally {
      await named.stop();
    }
  });

  it('learns and changes nothing by messages', async () => {
    const ada = await visitors.someone('/');
    await ada.page.getByRole('heading', { level: 1 }).waitFor();
    const before = await ada.page.evaluate(() => document.body.innerText);
    await ada.page.evaluate(() => {
      for (const data of ['take-over', { kind: 'parvis-opening', track: 'x', opening: 'open' }, { __proto__: { polluted: 1 } }, '{"__proto__":{"polluted":1}}']) {
        window.postMessage(data, '*');
      }
    });
    await new Promise((done) => setTimeout(done, 300));
    assert.equal(await ada.page.evaluate(() => ({}).polluted), undefined);
    assert.equal(await ada.page.evaluate(() => document.body.innerText), before);
  });
});

describe('row 46, row 47: every page', () => {
  it('has the whole policy', async () => {
    for (const path of PAGES) {
      const { headers, status } = await fetch(server.url + path);
      assert.equal(status, 200, path);
      const policy = Object.fromEntries(headers.get('content-security-policy').split('; ').map((each) => [each.split(' ', 1)[0], each.slice(each.indexOf(' ') + 1)]));
      assert.equal(policy['default-src'], "'none'", path);
      // Effects are WebAssembly: a room's document may compile it, and no other.
      assert.equal(policy['script-src'], path === ROOM ? "'self' 'wasm-unsafe-eval'" : "'self'", path);
      assert.equal(policy['worker-src'], "'self'", path);
      assert.equal(policy['style-src'], "'self'", path);
      assert.equal(policy['connect-src'], "'self'", path);
      assert.equal(policy['frame-ancestors'], "'none'", path);
      assert.equal(policy['require-trusted-types-for'], "'script'", path);
      assert.equal(policy['trusted-types'], 'svelte-trusted-html parvis-own-scripts', path);
      assert.equal(headers.get('x-frame-options'), 'DENY', path);
    }
  });

  it('runs no script but ours: neither text, nor another origin’s, nor one made on the spot', async () => {
    const ada = await visitors.someone(ROOM);
    const tried = await ada.page.evaluate(async () => {
      const failed = async (what) => {
        try {
          await what();
          return 'ran';
        } catch (error) {
          return error.name;
        }
      };
      return {
        html: await failed(() => (document.createElement('div').innerHTML = '<b>x</b>')),
        worker: await failed(() => new Worker('/assets/x.js')),
        blob: await failed(() => new Worker(URL.createObjectURL(new Blob(['1'])))),
        policy: await failed(() => window.trustedTypes.createPolicy('mine', { createHTML: (text) => text })),
        again: await failed(() => window.trustedTypes.createPolicy('parvis-own-scripts', { createScriptURL: (text) => text })),
      };
    });
    assert.deepEqual(tried, { html: 'TypeError', worker: 'TypeError', blob: 'TypeError', policy: 'TypeError', again: 'TypeError' });
    const evaluated = await ada.page.evaluate(() => {
      const script = document.createElement('script');
      try {
        script.text = 'window.evil = 1';
      } catch {}
      document.head.append(script);
      return window.evil;
    });
    assert.equal(evaluated, undefined);
    // All of that was refused by the policy, and said so.
    await eventually('the violations', () => ada.wrongs.length >= 3);
    ada.wrongs.splice(0, ada.wrongs.length, ...ada.wrongs.filter((each) => !/^(policy|console .*(Trusted|Content Security Policy|policy))/i.test(each)));
  });

  it('asks nobody but its own server', async () => {
    // Visitors note every request and every policy violation: leaving finds them.
    for (const path of PAGES) {
      const { page } = await visitors.someone(path);
      await page.waitForFunction(() => document.body.innerText.length > 20);
      await page.waitForTimeout(1_000);
    }
    for (const person of visitors.open) person.wrongs.splice(0, person.wrongs.length, ...person.wrongs.filter((each) => !/404/.test(each)));
  });
});
