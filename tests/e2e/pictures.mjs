// SPDX-License-Identifier: EUPL-1.2
// Takes the pictures of docs/pictures from a real call: `PARVIS_SERVER=… node pictures.mjs`.
import { mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { Server } from './support/server.mjs';
import { button, newMeeting } from './support/visitors.mjs';

const FOLDER = new URL('../../docs/pictures/', import.meta.url).pathname;
const FLAGS = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--allow-loopback-in-peer-connection', '--no-sandbox'];
const PEOPLE = [
  { name: 'Ada', wall: '#c9d6c3', light: '#eef2e6', skin: '#c98f6b', hair: '#3b2a22', clothes: '#7a3b4e' },
  { name: 'Bohumil', wall: '#b9c7d8', light: '#e6edf5', skin: '#e3b48f', hair: '#8a6a3f', clothes: '#2f4858' },
  { name: 'Chiara', wall: '#e2cdb4', light: '#f7eddf', skin: '#8d5a3c', hair: '#17120f', clothes: '#4f6d4a' },
];

/** Puts a drawn person before the camera, who breathes. Runs in the page. */
function drawnCamera({ wall, light, skin, hair, clothes }) {
  const canvas = Object.assign(document.createElement('canvas'), { width: 1280, height: 720 });
  const context = canvas.getContext('2d');
  const ellipse = (x, y, width, height, fill) => {
    context.fillStyle = fill;
    context.beginPath();
    context.ellipse(x, y, width, height, 0, 0, 2 * Math.PI);
    context.fill();
  };
  const draw = () => {
    const lift = 6 * Math.sin(performance.now() / 900);
    const back = context.createLinearGradient(0, 0, 1280, 720);
    back.addColorStop(0, light);
    back.addColorStop(1, wall);
    context.fillStyle = back;
    context.fillRect(0, 0, 1280, 720);
    context.fillStyle = '#ffffff66';
    context.fillRect(90, 60, 230, 330);
    context.fillStyle = wall;
    context.fillRect(199, 60, 12, 330);
    context.fillRect(90, 219, 230, 12);
    ellipse(640, 290 + lift, 172, 205, hair);
    ellipse(640, 800 + lift, 330, 290, clothes);
    context.fillStyle = skin;
    context.fillRect(585, 420 + lift, 110, 130);
    ellipse(640, 540 + lift, 78, 48, skin);
    ellipse(640, 330 + lift, 138, 172, skin);
    ellipse(640, 195 + lift, 146, 80, hair);
    for (const x of [588, 692]) ellipse(x, 320 + lift, 11, 15, '#1d1714');
    context.strokeStyle = '#00000055';
    context.lineWidth = 7;
    context.lineCap = 'round';
    context.beginPath();
    context.arc(640, 385 + lift, 46, 0.2 * Math.PI, 0.8 * Math.PI);
    context.stroke();
  };
  draw();
  setInterval(draw, 100);
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

async function enter(page) {
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Leave the meeting' }).waitFor();
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

async function write(page, text) {
  await page.getByLabel('Message to all').fill(text);
  await page.keyboard.press('Enter');
}

mkdirSync(FOLDER, { recursive: true });
const server = await Server.start();
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS });
try {
  const pages = [];
  for (const person of PEOPLE) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, permissions: ['camera', 'microphone'] });
    const page = await context.newPage();
    await page.addInitScript(drawnCamera, person);
    pages.push(page);
  }
  const [first, ...others] = pages;
  await first.goto(server.url);
  await first.screenshot({ path: `${FOLDER}home.png` });
  await newMeeting({ page: first }, { title: 'Council', lobby: true });
  await first.getByLabel('Your name').fill(PEOPLE[0].name);
  await first.waitForFunction(() => [...document.querySelectorAll('video')].some((video) => video.videoWidth > 0 && video.currentTime > 0.5));
  await first.screenshot({ path: `${FOLDER}prejoin.png` });
  await enter(first);
  // The others come by way of the lobby: the second is seen waiting, the third is let in at once.
  const room = first.url();
  for (const [place, page] of others.entries()) {
    await page.goto(room);
    await page.getByLabel('Your name').fill(PEOPLE[place + 1].name);
    await page.keyboard.press('Enter');
    const outside = first.getByRole('region', { name: 'People waiting outside' });
    await outside.waitFor();
    if (place === 0) await first.screenshot({ path: `${FOLDER}lobby.png` });
    await outside.getByRole('button', { name: 'Admit', exact: true }).click();
    await button({ page }, 'Leave the meeting').waitFor();
  }
  // The made-up microphones beep: nobody wants to be shown speaking all at once.
  for (const page of others) await page.getByRole('button', { name: 'Turn off microphone' }).click();
  await first.waitForFunction(() => [...document.querySelectorAll('li video')].filter((video) => video.videoWidth >= 640 && video.currentTime > 9).length === 3);
  await first.mouse.move(640, 780);
  await first.screenshot({ path: `${FOLDER}call.png` });

  await button({ page: others[0] }, 'Raise your hand').click();
  await open(first, /^People/, 'People');
  await first.getByText('hand raised, number 1 in the queue').first().waitFor({ state: 'attached' });
  await first.screenshot({ path: `${FOLDER}people.png` });
  await button({ page: first }, 'Close this panel').click();

  await open(first, /^Chat/, 'Chat');
  await write(first, 'Good morning! The budget is at https://example.org/budget');
  await open(others[1], /^Chat/, 'Chat');
  await write(others[1], 'Thank you, I have it.');
  await first.getByText('Thank you, I have it.').first().waitFor();
  await first.screenshot({ path: `${FOLDER}chat.png` });
  await button({ page: first }, 'Close this panel').click();

  await open(first, 'Polls', 'Polls');
  await button({ page: first }, 'New poll').click();
  await first.getByLabel('Question').fill('Shall we meet again on Friday?');
  await first.getByLabel('Answer 1').fill('Yes');
  await first.getByLabel('Answer 2').fill('Another day');
  await button({ page: first }, 'Start the poll').click();
  await first.getByText('Choose one answer').first().waitFor();
  await first.screenshot({ path: `${FOLDER}poll.png` });
  await button({ page: first }, 'Close this panel').click();

  await open(first, 'Run the meeting', 'Run the meeting');
  await first.screenshot({ path: `${FOLDER}moderation.png` });
  await button({ page: first }, 'Close this panel').click();

  await first.emulateMedia({ colorScheme: 'dark' });
  await first.waitForTimeout(400);
  await first.screenshot({ path: `${FOLDER}dark.png` });
  await first.emulateMedia({ colorScheme: 'light' });
  await first.setViewportSize({ width: 320, height: 568 });
  await first.waitForTimeout(600);
  await first.screenshot({ path: `${FOLDER}phone.png` });
} finally {
  await browser.close();
  await server.stop();
}
