// SPDX-License-Identifier: EUPL-1.2
// The page before the call: Lighthouse's opinion, and how long it takes from the link until it can be used.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import lighthouse from 'lighthouse';
import { Visitors } from '../../tests/e2e/support/visitors.mjs';

/** Four times slower than this machine, and 1.6 Mbit/s. */
const SLOW = { cpu: 4, down: 1_600_000, up: 750_000 };
const LIGHTHOUSE = { output: 'json', logLevel: 'error', onlyCategories: ['performance', 'accessibility'] };

/** What Lighthouse gives for the page, as it comes: a middling phone on a slow line, simulated. One audit for each path. */
export async function audit(server, paths) {
  const port = await freePort();
  const visitors = await Visitors.of(server, `--remote-debugging-port=${port}`);
  try {
    const audits = [];
    let version;
    for (const path of paths) {
      const { lhr } = await lighthouse(server.url + path, { ...LIGHTHOUSE, port });
      if (lhr.runtimeError) throw new Error(`Lighthouse: ${lhr.runtimeError.message}`);
      version = lhr.lighthouseVersion;
      const wrong = Object.values(lhr.audits).filter(({ score, scoreDisplayMode }) => score === 0 && scoreDisplayMode === 'binary');
      const ms = (name) => lhr.audits[name].numericValue;
      audits.push({
        performance: 100 * lhr.categories.performance.score,
        accessibility: 100 * lhr.categories.accessibility.score,
        first_paint_ms: ms('first-contentful-paint'),
        largest_paint_ms: ms('largest-contentful-paint'),
        blocked_ms: ms('total-blocking-time'),
        shift: ms('cumulative-layout-shift'),
        wrong: wrong.map(({ id }) => id),
      });
    }
    return { version, audits };
  } finally {
    await visitors.close();
  }
}

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** Says when the field for the name and the button are there, painted, and the page is free to answer. Runs in the page. */
function watchForUse() {
  window.whenUsable = new Promise((done) => {
    const look = () => {
      const [name, button] = [document.querySelector('#name'), document.querySelector('form button[type=submit]')];
      if (!name || !button || name.disabled || button.disabled) return;
      observer.disconnect();
      requestAnimationFrame(() => setTimeout(() => done(performance.now())));
    };
    const observer = new MutationObserver(look);
    observer.observe(document, { childList: true, subtree: true, attributes: true });
  });
}

/** Milliseconds from the link to a page that takes a name, by a browser that has nothing of it yet. */
export async function untilUsable(visitors, path, latency) {
  const context = await visitors.browser.newContext({ permissions: ['camera', 'microphone'], locale: 'en-GB', serviceWorkers: 'block' });
  try {
    const page = await context.newPage();
    const browser = await context.newCDPSession(page);
    await browser.send('Network.enable');
    await browser.send('Network.emulateNetworkConditions', { offline: false, latency, downloadThroughput: SLOW.down / 8, uploadThroughput: SLOW.up / 8 });
    await browser.send('Emulation.setCPUThrottlingRate', { rate: SLOW.cpu });
    await page.addInitScript(watchForUse);
    await page.goto(visitors.server.url + path, { waitUntil: 'commit', timeout: 60_000 });
    const usable = await page.evaluate(() => window.whenUsable);
    // It was no empty word: what is typed from here on is in the field.
    await page.keyboard.type('Ada');
    assert.equal(await page.locator('#name').inputValue(), 'Ada');
    return usable;
  } finally {
    await context.close();
  }
}
