// SPDX-License-Identifier: EUPL-1.2
// Takes the pictures of docs/pictures from a real call: `PARVIS_SERVER=… node pictures.mjs [FOLDER]`.
import { mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { drawnPerson, LOOKS } from './page/drawn.js';
import { servePage } from './support/browsers.mjs';
import { eventually } from './support/check.mjs';
import { Server, token } from './support/server.mjs';
import { button, newMeeting } from './support/visitors.mjs';

const FOLDER = process.argv[2] ?? new URL('../../docs/pictures/', import.meta.url).pathname;
const FLAGS = [
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--allow-loopback-in-peer-connection', '--no-sandbox',
  '--disable-background-timer-throttling', '--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding',
];
const DESK = { width: 1280, height: 800 };
/** So many have the client itself; whoever comes after them comes by a page of their own. */
const VISITORS = 3;

/** Puts a drawn person before the camera. Runs in the page. */
function drawnCamera(canvas) {
  const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    const stream = await real(constraints);
    if (!constraints.video) return stream;
    const [camera] = stream.getVideoTracks();
    const [drawn] = canvas.captureStream(15).getVideoTracks();
    drawn.getSettings = () => camera.getSettings();
    return new MediaStream([drawn, ...stream.getAudioTracks()]);
  };
}

/** Puts a drawn document where a screen would be shared. Runs in the page. */
function drawnScreen() {
  navigator.mediaDevices.getDisplayMedia = async () => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 1280, height: 720 });
    const pen = canvas.getContext('2d');
    const draw = () => {
      pen.fillStyle = '#ffffff';
      pen.fillRect(0, 0, 1280, 720);
      pen.fillStyle = '#1d3557';
      pen.font = '600 52px sans-serif';
      pen.fillText('Budget: where the money goes', 90, 120);
      pen.fillStyle = '#c9d3e0';
      pen.fillRect(90, 150, 1100, 3);
      for (const [row, [what, share]] of [['Schools', 0.82], ['Roads', 0.55], ['Libraries', 0.34], ['Parks', 0.27], ['Reserve', 0.12]].entries()) {
        const y = 235 + row * 92;
        pen.fillStyle = '#33415c';
        pen.font = '34px sans-serif';
        pen.fillText(what, 90, y);
        pen.fillStyle = ['#2456c9', '#2f7d6b', '#8a6322', '#7a5797', '#545d6e'][row];
        pen.fillRect(320, y - 34, 760 * share, 46);
        pen.fillText(`${Math.round(100 * share)}`, 340 + 760 * share, y);
      }
    };
    draw();
    setInterval(draw, 200);
    return canvas.captureStream(10);
  };
}

const leave = { name: 'Leave the meeting' };

async function enter(page) {
  await page.getByLabel('Your name').press('Enter');
  await page.getByRole('button', leave).waitFor();
}

/** A panel, from the bar or from what is behind “More”. */
async function open(page, from, title) {
  if (typeof from === 'string') {
    await button({ page }, /^More/).click();
    await page.getByRole('dialog', { name: 'More' }).getByRole('button', { name: from, exact: true }).click();
  } else {
    await button({ page }, from).click();
  }
  await page.getByRole('heading', { name: title, exact: true }).waitFor();
}

async function close(page) {
  await button({ page }, 'Close this panel').click();
  await page.getByRole('complementary').waitFor({ state: 'detached' });
}

async function choose(page, what) {
  await button({ page }, /^More/).click();
  await page.getByRole('radio', { name: what, exact: true }).check();
  await page.keyboard.press('Escape');
}

async function write(page, text) {
  await page.getByLabel('Message to all').fill(text);
  await page.keyboard.press('Enter');
}

/** So many show a picture, at the size that their tile asks for. */
async function all(page, count, width = 300) {
  const there = ([count, width]) => [...document.querySelectorAll('li video')].filter((video) => video.videoWidth >= width && video.currentTime > 3).length === count;
  await page.waitForFunction(there, [count, width], { timeout: 60_000 });
  await page.waitForTimeout(1_000);
}

/** A picture once nothing moves any more, without the pointer over anything. */
async function take(page, name) {
  const { width, height } = page.viewportSize();
  await page.mouse.move(width / 2, height - 4);
  await page.evaluate(() => document.activeElement?.blur());
  await page.evaluate(() => Promise.allSettled(document.getAnimations().filter((each) => each.effect.getTiming().iterations !== Infinity).map((each) => each.finished)));
  await page.waitForTimeout(400);
  await page.screenshot({ path: `${FOLDER}/${name}.png` });
  console.log(name);
}

/** An encrypted meeting of one, and the words that people compare. */
async function encrypted() {
  const context = await browser.newContext({ viewport: DESK, permissions: ['camera', 'microphone'] });
  const page = await context.newPage();
  await page.addInitScript({ content: `(${drawnCamera})((${drawnPerson})(${JSON.stringify(LOOKS[0])}));` });
  await page.goto(server.url);
  await button({ page }, 'New meeting').click();
  await page.getByLabel('End-to-end encryption').check();
  await button({ page }, 'Create the meeting').click();
  await page.getByLabel('Your name').fill(LOOKS[0].name);
  await enter(page);
  await all(page, 1, 640);
  await button({ page }, 'Encrypted').click();
  await page.getByRole('list', { name: 'Words to compare' }).waitFor();
  await take(page, 'encrypted');
  await context.close();
}

mkdirSync(FOLDER, { recursive: true });
const server = await Server.start();
const faces = await servePage('page/people.js');
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS });
try {
  const pages = [];
  for (const look of LOOKS.slice(0, VISITORS)) {
    const context = await browser.newContext({ viewport: DESK, permissions: ['camera', 'microphone'] });
    const page = await context.newPage();
    await page.addInitScript({ content: `(${drawnCamera})((${drawnPerson})(${JSON.stringify(look)})); (${drawnScreen})();` });
    pages.push(page);
  }
  const [first, ...others] = pages;
  await first.goto(server.url);
  await take(first, 'home');
  await newMeeting({ page: first }, { title: 'Council', lobby: true });
  await first.getByLabel('Your name').fill(LOOKS[0].name);
  await first.waitForFunction(() => [...document.querySelectorAll('video')].some((video) => video.videoWidth > 0 && video.currentTime > 0.5));
  await take(first, 'prejoin');
  const camera = () => first.evaluate(() => document.querySelector('video').srcObject.getVideoTracks()[0].id);
  const plain = await camera();
  await first.getByLabel('Background', { exact: true }).selectOption('arcade');
  await eventually('the background', async () => (await camera()) !== plain && (await first.evaluate(() => document.querySelector('video').currentTime > 1)));
  await take(first, 'background');
  await first.getByLabel('Background', { exact: true }).selectOption('none');
  await eventually('her own room again', async () => (await camera()) === plain);
  await enter(first);
  // The others come by way of the lobby: the second is seen waiting, the third is let in at once.
  const room = new URL(first.url()).pathname.slice('/r/'.length);
  for (const [place, page] of others.entries()) {
    await page.goto(first.url());
    await page.getByLabel('Your name').fill(LOOKS[place + 1].name);
    await page.keyboard.press('Enter');
    const outside = first.getByRole('region', { name: 'People waiting outside' });
    await outside.waitFor();
    if (place === 0) await take(first, 'lobby');
    await outside.getByRole('button', { name: 'Admit', exact: true }).click();
    await button({ page }, leave.name).waitFor();
    if (place === 0) {
      await all(first, 2, 640);
      await take(first, 'grid-2');
    }
  }
  // The made-up microphones beep: nobody wants to be shown speaking all at once.
  for (const page of others) await page.getByRole('button', { name: 'Turn off microphone' }).click();
  await all(first, 3, 640);
  await take(first, 'call');

  await button({ page: others[0] }, 'Raise your hand').click();
  await open(first, /^People/, 'People');
  await first.getByText('hand raised, number 1 in the queue').first().waitFor({ state: 'attached' });
  await take(first, 'people');
  await close(first);
  await button({ page: others[0] }, /^Lower your hand/).click();

  await open(first, /^Chat/, 'Chat');
  await write(first, 'Good morning! The budget is at https://example.org/budget');
  await open(others[1], /^Chat/, 'Chat');
  await write(others[1], 'Thank you, I have it.');
  await first.getByText('Thank you, I have it.').first().waitFor();
  await take(first, 'chat');
  await first.evaluate(() => (document.documentElement.dir = 'rtl'));
  await take(first, 'right-to-left');
  await first.evaluate(() => document.documentElement.removeAttribute('dir'));
  await close(first);

  await open(first, 'Polls', 'Polls');
  await button({ page: first }, 'New poll').click();
  await first.getByLabel('Question').fill('Shall we meet again on Friday?');
  await first.getByLabel('Answer 1').fill('Yes');
  await first.getByLabel('Answer 2').fill('Another day');
  await button({ page: first }, 'Start the poll').click();
  await first.getByText('Choose one answer').first().waitFor();
  await take(first, 'poll');
  await close(first);

  await open(first, 'Run the meeting', 'Run the meeting');
  await take(first, 'moderation');
  await first.getByLabel('Each viewer’s name over all pictures').check();
  await close(first);
  await first.locator('canvas.watermark').nth(1).waitFor();
  await take(first, 'watermark');
  await open(first, 'Run the meeting', 'Run the meeting');
  await first.getByLabel('Each viewer’s name over all pictures').uncheck();
  const role = first.getByLabel('Whoever comes in');
  const before = await role.inputValue();
  await role.selectOption({ label: 'watches and listens' });
  await close(first);
  const hall = await browser.newContext({ permissions: ['camera', 'microphone'] });
  const viewer = await hall.newPage();
  await viewer.goto(first.url());
  await viewer.getByLabel('Your name').fill('Cem');
  await viewer.keyboard.press('Enter');
  await first.getByRole('region', { name: 'People waiting outside' }).getByRole('button', { name: 'Admit', exact: true }).click();
  await button({ page: viewer }, leave.name).waitFor();
  await open(first, /^People/, 'People');
  await first.getByRole('searchbox', { name: 'Name of a viewer' }).fill('cem');
  await first.keyboard.press('Enter');
  await button({ page: first }, 'Actions for Cem').waitFor();
  await take(first, 'viewers');
  await close(first);
  await hall.close();
  await open(first, 'Run the meeting', 'Run the meeting');
  await role.selectOption(before);
  await close(first);

  await open(first, 'Breakout rooms', 'Breakout rooms');
  await first.getByLabel(LOOKS[1].name, { exact: true }).selectOption('Room 2');
  await take(first, 'breakout-plan');
  await button({ page: first }, 'Open the rooms').click();
  await others[0].getByText('You are now in Room 2.').first().waitFor({ timeout: 20_000 });
  await first.getByText(/^1[45]:\d\d left$/).waitFor();
  await first.waitForTimeout(6_000);
  await take(first, 'breakout');
  await button({ page: first }, 'Close the rooms').click();
  await others[0].getByRole('listitem').filter({ hasText: LOOKS[0].name }).waitFor({ timeout: 30_000 });
  await close(first);
  await all(first, 3, 640);

  await button({ page: others[0] }, 'Share your screen').click();
  await first.getByRole('group', { name: /’s screen$/ }).waitFor();
  await first.waitForTimeout(4_000);
  await take(first, 'share');
  await button({ page: others[0] }, /^Stop sharing/).first().click();
  await first.getByRole('group', { name: /’s screen$/ }).waitFor({ state: 'detached' });

  const context = await browser.newContext();
  const crowd = await context.newPage();
  await crowd.goto(faces.url);
  await crowd.waitForFunction(() => window.ready);
  for (let look = VISITORS; look < LOOKS.length; look++) {
    const identity = `person-${look}`;
    const pass = token(room, identity, {}, LOOKS[look].name);
    const answer = await crowd.evaluate((parameters) => window.ask('come', parameters), { url: server.ws, token: pass, identity, look, width: 640, fps: 8, bits: 300_000 });
    if (answer.error) throw new Error(answer.error);
    if (look === 4) {
      await all(first, 5);
      await take(first, 'grid-5');
    }
  }
  await all(first, 12);
  await take(first, 'grid-12');

  await button({ page: others[1] }, 'Turn on microphone').click();
  await choose(first, 'Who speaks');
  await first.locator('li.main').filter({ hasText: LOOKS[2].name }).waitFor({ timeout: 60_000 });
  await first.waitForTimeout(4_000);
  await take(first, 'speaker');
  await choose(first, 'Everyone');
  await button({ page: others[1] }, 'Turn off microphone').click();
  await all(first, 12);

  await first.emulateMedia({ colorScheme: 'dark' });
  await take(first, 'dark');
  await first.emulateMedia({ colorScheme: 'light', contrast: 'more' });
  await open(first, /^People/, 'People');
  await take(first, 'contrast');
  await first.emulateMedia({ colorScheme: 'light', contrast: 'no-preference' });
  await close(first);
  await first.evaluate(() => (document.documentElement.style.fontSize = '200%'));
  await open(first, /^Chat/, 'Chat');
  await take(first, 'large-text');
  await close(first);
  await first.evaluate(() => document.documentElement.style.removeProperty('font-size'));
  for (const [name, width, height] of [['phone', 320, 568], ['phone-landscape', 667, 375]]) {
    await first.setViewportSize({ width, height });
    await first.waitForTimeout(3_000);
    await take(first, name);
  }
  await browser.contexts().reduce((done, each) => done.then(() => each.close()), Promise.resolve());
  await encrypted();
} finally {
  await browser.close();
  faces.close();
  await server.stop();
}
