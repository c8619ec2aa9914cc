// SPDX-License-Identifier: EUPL-1.2
// People in the client's own page whose camera and microphone show and play something known: in Chromium and in Firefox.
import { build } from 'esbuild';
import puppeteer from 'puppeteer-core';
import { FIREFOX } from './browsers.mjs';
import { join } from './visitors.mjs';

let script;

/** What makes a page's devices show bars and play a tone, as a script for it. */
async function playing(hertz) {
  const entry = new URL('../page/plays.js', import.meta.url).pathname;
  script ??= (await build({ entryPoints: [entry], bundle: true, format: 'iife', write: false })).outputFiles[0].text;
  return `window.playsHertz = ${hertz};\n${script}`;
}

/** Someone with Chromium in a room's page, and in the call. `before` may prepare the page. */
export async function playInChromium(visitors, path, name, hertz, before = async () => {}) {
  const person = await visitors.someone('/');
  await before(person);
  await person.page.addInitScript(await playing(hertz));
  await person.page.goto(visitors.server.url + path);
  await join(person, name);
  return { ...person, ask: (what, wish = {}) => person.page.evaluate(([what, wish]) => window.plays[what](wish), [what, wish]) };
}

/** The same with Firefox, in a browser of its own; `remembered` is what it has kept of earlier visits. */
export async function playInFirefox(server, path, name, hertz, remembered) {
  const browser = await puppeteer.launch({ browser: 'firefox', executablePath: '/usr/bin/firefox-esr', headless: true, extraPrefsFirefox: FIREFOX });
  const page = await browser.newPage();
  const wrongs = [];
  page.on('pageerror', (error) => wrongs.push(error.message));
  page.on('console', (message) => message.type() === 'error' && wrongs.push(message.text()));
  await page.evaluateOnNewDocument(`() => {${await playing(hertz)}}`);
  await page.evaluateOnNewDocument(await playing(hertz)).catch(() => {});
  if (remembered !== undefined) {
    await page.goto(`${server.url}/`);
    await page.evaluate((remembered) => localStorage.setItem('parvis.settings', JSON.stringify(remembered)), remembered);
  }
  await page.goto(server.url + path);
  await page.waitForSelector('#name');
  await page.type('#name', name);
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => [...document.querySelectorAll('button')].some((each) => (each.ariaLabel ?? each.textContent).includes('Leave')), { timeout: 30_000 });
  return {
    page,
    wrongs,
    ask: (what, wish = {}) => page.evaluate((what, wish) => window.plays[what](wish), what, wish),
    close: () => browser.close(),
  };
}
