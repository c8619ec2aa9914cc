// SPDX-License-Identifier: EUPL-1.2
// People with Chromium who open the client that the server brings.
import assert from 'node:assert/strict';
import { after, afterEach, before } from 'node:test';
import { chromium } from 'playwright-core';
import { Server } from './server.mjs';

const FLAGS = [
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--allow-loopback-in-peer-connection',
  '--disable-background-timer-throttling', '--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding',
  '--auto-select-desktop-capture-source=Entire screen', '--no-sandbox',
];

/** For the tests of a file: a server, and visitors who all leave after each test. Both are there when the first test is. */
export function openHouse() {
  const house = { server: undefined, visitors: undefined };
  before(async () => {
    house.server = await Server.start();
    house.visitors = await Visitors.of(house.server);
  });
  after(async () => {
    await house.visitors?.close();
    await house.server?.stop();
  });
  // Row 47 as well: whatever a test did, no page asked anyone but its own server.
  afterEach(() => house.visitors.leave());
  return house;
}

/** A browser, and those who have come with it. */
export class Visitors {
  /** With further flags of the browser, if the test has some. */
  static async of(server, ...flags) {
    const visitors = new Visitors();
    visitors.server = server;
    visitors.browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: [...FLAGS, ...flags] });
    visitors.open = [];
    return visitors;
  }

  /** Someone with a browser of their own. All that the page must never do, or say, is noted in `wrongs`. */
  async someone(path = '/', { devices = true, ...options } = {}) {
    const { server } = this;
    // What tests put in the way of requests would not be in the way of a service worker's.
    const permissions = devices ? ['camera', 'microphone', 'clipboard-read', 'clipboard-write'] : [];
    const context = await this.browser.newContext({ permissions, serviceWorkers: 'block', ...options });
    const page = await context.newPage();
    const wrongs = [];
    page.on('request', (request) => {
      const { origin, protocol } = new URL(request.url());
      if (origin !== server.url && !['data:', 'blob:'].includes(protocol)) wrongs.push(`asked ${request.url()}`);
    });
    page.on('websocket', (socket) => {
      if (new URL(socket.url()).origin !== server.ws) wrongs.push(`connected to ${socket.url()}`);
    });
    page.on('pageerror', (error) => wrongs.push(`error ${error.message}`));
    page.on('console', (message) => {
      // livekit-client says so of someone who left while their media was on its way: a race, and harmless.
      const left = message.text().startsWith("Tried to add a track for a participant, that's not present");
      if (message.type() === 'error' && !left) wrongs.push(`console ${message.text()}`);
    });
    page.on('dialog', (dialog) => {
      wrongs.push(`dialog ${dialog.message()}`);
      void dialog.dismiss();
    });
    await page.exposeFunction('noteViolation', (text) => wrongs.push(`policy ${text}`));
    await page.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (e) => window.noteViolation(`${e.violatedDirective} ${e.blockedURI}`));
    });
    if (!devices) {
      await page.addInitScript(() => {
        navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError'));
      });
    }
    const person = { context, page, wrongs };
    this.open.push(person);
    await page.goto(server.url + path);
    return person;
  }

  /** All go, and none of their pages did what it must not. */
  async leave() {
    const wrongs = this.open.flatMap((person) => person.wrongs);
    for (const { context } of this.open.splice(0)) await context.close();
    assert.deepEqual(wrongs, [], 'no foreign request, no violation, no error');
  }

  async close() {
    await this.browser.close();
  }
}

export const button = ({ page }, name) => page.getByRole('button', { name });

/** From the page before a call into it. */
export async function join(person, name) {
  await person.page.getByLabel('Your name').fill(name);
  await person.page.keyboard.press('Enter');
  await button(person, 'Leave the meeting').waitFor({ timeout: 20_000 });
  return person;
}

/** From the start page before the call of a new meeting; gives its path. What is not wished stays as the dialog has it. */
export async function newMeeting(person, { title = '', password = '', lobby = false } = {}) {
  const { page } = person;
  await button(person, 'New meeting').click();
  const dialog = page.getByRole('dialog', { name: 'New meeting' });
  if (title) await dialog.getByLabel('Title').fill(title);
  if (password) await dialog.getByLabel('Password').fill(password);
  if (lobby) await dialog.getByLabel('Let people wait outside').check();
  await dialog.getByRole('button', { name: 'Create the meeting' }).click();
  await page.waitForURL(/\/r\/[\w-]{20,}$/);
  return new URL(page.url()).pathname;
}
