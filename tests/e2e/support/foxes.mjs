// SPDX-License-Identifier: EUPL-1.2
// People with Firefox ESR who open the client that the server brings: the words that tests of the client use, over WebDriver BiDi.
import puppeteer from 'puppeteer-core';
import { FIREFOX } from './browsers.mjs';
import { eventually } from './check.mjs';

/** What is pressed or filled, by the name that readers of the screen hear. Runs in the page. */
function named(selector, name) {
  const heard = (element) => (element.ariaLabel ?? element.labels?.[0]?.textContent ?? element.textContent).replaceAll(/\s+/g, ' ').trim();
  const fits = (element) => (name.startsWith('^') ? heard(element).startsWith(name.slice(1)) : heard(element) === name);
  return [...document.querySelectorAll(selector)].find((element) => element.checkVisibility() && fits(element)) ?? null;
}

/** A browser; each of its people has a context of their own. */
export class Foxes {
  /** Who visits a house: its server is there when the first of them comes. */
  static async open(house) {
    const foxes = new Foxes();
    foxes.house = house;
    foxes.browser = await puppeteer.launch({ browser: 'firefox', executablePath: '/usr/bin/firefox-esr', headless: true, extraPrefsFirefox: FIREFOX });
    return foxes;
  }

  async someone(path = '/') {
    const context = await this.browser.createBrowserContext();
    // A page in a tab behind another is throttled and paints no video.
    const page = await context.newPage({ type: 'window' });
    await page.setViewport({ width: 1280, height: 720 });
    await page.goto(this.house.server.url + path);
    return new Fox(page, context);
  }

  async close() {
    await this.browser.close();
  }
}

class Fox {
  constructor(page, context) {
    Object.assign(this, { page, context });
  }

  /** The element of this name, once it is there. With `^` before it, a name that begins so. */
  async find(selector, name) {
    return eventually(`“${name}” in Firefox`, async () => (await this.page.evaluateHandle(named, selector, name)).asElement());
  }

  async press(name) {
    await (await this.find('button', name)).click();
  }

  async has(selector, name) {
    return (await this.page.evaluateHandle(named, selector, name)).asElement() !== null;
  }

  async fill(name, text) {
    const field = await this.find('input, textarea', name);
    await field.click();
    await field.type(text);
  }

  /** All that can be read. */
  async text() {
    return this.page.evaluate(() => document.body.innerText);
  }

  async reads(text) {
    await eventually(`“${text}” is read in Firefox`, async () => (await this.text()).includes(text));
  }

  /** From the page before the call into it. */
  async join(name) {
    await this.fill('Your name', name);
    await this.page.keyboard.press('Enter');
    await this.find('button', 'Leave the meeting');
    return this;
  }
}

/** How loud the loudest is of what this page plays, in one and a half seconds; 0 where nothing is heard. Runs in any page. */
export async function loudest() {
  const context = new AudioContext();
  await context.resume();
  const streams = [...document.querySelectorAll('audio')].map((audio) => audio.srcObject).filter((stream) => stream?.getAudioTracks().length);
  const analysers = streams.map((stream) => {
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(stream).connect(analyser);
    return analyser;
  });
  let most = 0;
  // Made-up microphones beep about once a second.
  for (let turn = 0; turn < 25; turn++) {
    await new Promise((done) => setTimeout(done, 60));
    for (const analyser of analysers) {
      const samples = new Float32Array(analyser.fftSize);
      analyser.getFloatTimeDomainData(samples);
      most = Math.max(most, ...samples.map(Math.abs));
    }
  }
  await context.close();
  return most;
}

/** The middle of somebody's picture as [red, green, blue], and how far it has played; nothing where there is none. Runs in any page. */
export function seen(name) {
  const tile = [...document.querySelectorAll('li[data-identity]')].find((each) => each.querySelector('bdi')?.textContent === name);
  const video = tile?.querySelector('video');
  if (!video || video.videoWidth === 0 || video.readyState < 2) return undefined;
  const canvas = Object.assign(document.createElement('canvas'), { width: 16, height: 16 });
  const pen = canvas.getContext('2d');
  pen.drawImage(video, 0, 0, 16, 16);
  return { colour: [...pen.getImageData(4, 12, 1, 1).data].slice(0, 3), at: video.currentTime };
}
