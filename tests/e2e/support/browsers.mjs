// SPDX-License-Identifier: EUPL-1.2
// Chromium and Firefox ESR behind one interface: a page that answers `ask(name, parameters)`.
import { build } from 'esbuild';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';
import puppeteer from 'puppeteer-core';

const here = (path) => new URL(`../${path}`, import.meta.url).pathname;

/** Serves a page, the test page unless another is named, on loopback, where browsers allow cameras without TLS. */
export async function servePage(script = 'page/call.js') {
  const bundle = await build({ entryPoints: [here(script)], bundle: true, format: 'esm', jsx: 'automatic', loader: { '.css': 'text' }, write: false });
  const worker = createRequire(import.meta.url).resolve('livekit-client/e2ee-worker');
  const files = {
    '/': ['text/html', readFileSync(here('page/index.html'))],
    '/call.js': ['text/javascript', bundle.outputFiles[0].contents],
    '/e2ee.js': ['text/javascript', readFileSync(worker)],
  };
  const server = createServer((request, response) => {
    const found = files[new URL(request.url, 'http://page').pathname];
    response.writeHead(found ? 200 : 404, { 'content-type': found?.[0] ?? 'text/plain' });
    response.end(found?.[1]);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

const CHROMIUM = [
  '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', '--allow-loopback-in-peer-connection',
  '--autoplay-policy=no-user-gesture-required', '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding', '--no-sandbox',
];
export const FIREFOX = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  'media.autoplay.default': 0,
  'media.autoplay.blocking_policy': 0,
  // On a machine without a sound device an AudioContext would wait for one for ever.
  'media.cubeb.force_mock_context': true,
};

/** A caller in a browser's page. */
class PageCaller {
  constructor(kind, page, close) {
    Object.assign(this, { kind, page, close });
  }

  async ask(name, parameters = {}) {
    const answer = await this.page.evaluate(([name, parameters]) => window.ask(name, parameters), [name, parameters]);
    if (answer.error) throw new Error(`${this.kind}: ${answer.error}\n${JSON.stringify(answer.events)}`);
    return answer.ok;
  }
}

let running = {};

/**
 * Opens a fresh page in `chromium` or `firefox`; the browser itself is started once. With a `network`, Chromium's
 * page reaches the server's media through it only.
 */
export async function open(kind, url, network) {
  if (kind === 'chromium') {
    running.chromium ??= await chromium.launch({ executablePath: '/usr/bin/chromium', args: CHROMIUM });
    const context = await running.chromium.newContext();
    const page = await context.newPage();
    if (network) await page.exposeFunction('portBehindNetwork', (port) => network.port(port));
    await page.goto(url);
    await page.waitForFunction(() => window.ready);
    return new PageCaller(kind, page, () => context.close());
  }
  running.firefox ??= await puppeteer.launch({
    browser: 'firefox', executablePath: '/usr/bin/firefox-esr', headless: true, extraPrefsFirefox: FIREFOX,
  });
  const context = await running.firefox.createBrowserContext();
  // A page in a tab behind another is throttled and paints no video.
  const page = await context.newPage({ type: 'window' });
  await page.goto(url);
  await page.waitForFunction(() => window.ready);
  return new PageCaller(kind, page, () => context.close());
}

/** Starts another Chromium with flags of its own. */
export const openChromium = (url, ...flags) => openFlagged(url, flags);

/** The same, reaching the server's media through a `network` only. */
export async function openFlagged(url, flags, network) {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: [...CHROMIUM, ...flags] });
  const page = await browser.newPage();
  if (network) await page.exposeFunction('portBehindNetwork', (port) => network.port(port));
  await page.goto(url);
  await page.waitForFunction(() => window.ready);
  return new PageCaller('chromium', page, () => browser.close());
}

/** Closes the browsers that were started. */
export async function closeBrowsers() {
  for (const browser of Object.values(running)) await browser.close();
  running = {};
}
