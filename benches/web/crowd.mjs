// SPDX-License-Identifier: EUPL-1.2
// Forty-nine in a room, 25 of them seen: a steady call, and one in which people come and go all the time.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { open, servePage } from '../../tests/e2e/support/browsers.mjs';
import { eventually } from '../../tests/e2e/support/check.mjs';
import { token } from '../../tests/e2e/support/server.mjs';
import { atTheDoor, enter } from './call.mjs';

/** With the one who looks, 25 have a picture; the others are listed, and on the next page. */
const SHOWN = 24;
const LISTED = 24;
/** What each of the others shows. */
const PICTURE = { width: 320, fps: 15, bits: 120_000 };

const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

/** People from the load generator, who send and receive nothing. Gives what it says, line by line. */
function crowd(server, room, { changes, idle }) {
  const numbers = { rooms: 1, each: LISTED, 'in-flight': 4, idle, changes, 'change-rate': 1, 'call-seconds': 0.1, connections: 1 };
  const flags = Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { name, secret } = server.key;
  const child = spawn(process.env.PARVIS_LOAD, ['crowd', ...flags, '--room', room, '--server', server.ws, '--key', name, '--secret', secret], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const said = [];
  createInterface({ input: child.stderr }).on('line', (line) => said.push(line));
  let over = false;
  const ended = new Promise((done) => {
    child.once('error', (error) => done(said.push(String(error))));
    child.once('exit', done);
  }).then(() => (over = true));
  return {
    has: (pattern) => {
      if (said.some((line) => pattern.test(line))) return true;
      if (over) throw new Error(`parvis-load ended: ${said.slice(-5).join('; ')}`);
      return false;
    },
    stop: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Notes tasks that are long, and how long scripts of this server's ran in a row within them. Runs in the page. */
function watchTasks() {
  window.tasks = { above: 0, longest: 0, ours: 0, oursLongest: 0, oursBusy: 0, which: {} };
  const watch = (type, each) => new PerformanceObserver((list) => list.getEntries().forEach(each)).observe({ type });
  watch('longtask', ({ duration }) => {
    if (duration > 100) window.tasks.above++;
    window.tasks.longest = Math.max(window.tasks.longest, duration);
  });
  // An animation frame that took long names the scripts that ran in it; the library's are ours, since we chose it.
  watch('long-animation-frame', ({ scripts }) => {
    for (const { duration, sourceURL, sourceFunctionName, invoker } of scripts) {
      if (!sourceURL.startsWith(location.origin)) continue;
      window.tasks.oursBusy += duration;
      window.tasks.oursLongest = Math.max(window.tasks.oursLongest, duration);
      if (duration <= 100) continue;
      window.tasks.ours++;
      const name = `${new URL(sourceURL).pathname.split('/').pop()} ${sourceFunctionName || invoker}`;
      window.tasks.which[name] = (window.tasks.which[name] ?? 0) + 1;
    }
  });
}

/** Pictures of others that were shown so far, in all; and on how many tiles. */
const shown = (page) =>
  page.evaluate(() => {
    const videos = [...document.querySelectorAll('li[data-identity] video:not(.mirrored)')].filter((video) => video.videoWidth > 0);
    return { tiles: videos.length, frames: videos.reduce((sum, video) => sum + video.getVideoPlaybackQuality().totalVideoFrames, 0) };
  });

/** Somebody in a call, and all the others. */
class Meeting {
  static async gather({ server, visitors }) {
    const meeting = new Meeting();
    meeting.server = server;
    meeting.room = `webbench${Math.random().toString(36).slice(2)}`.padEnd(26, '0');
    meeting.pages = await servePage('page/people.js');
    meeting.others = await open('chromium', meeting.pages.url);
    meeting.one = await atTheDoor(visitors, `/r/${meeting.room}`, 'Ada', { viewport: { width: 1920, height: 1080 } });
    await enter(meeting.one);
    for (let place = 0; place < SHOWN; place++) await meeting.come(place);
    return meeting;
  }

  async come(place, time = 0) {
    const identity = `person-${place}-${time}`;
    const pass = token(this.room, identity, {}, `Person ${place + 1}`, this.server.key);
    await this.others.ask('come', { url: this.server.ws, token: pass, identity, look: place, ...PICTURE });
    return identity;
  }

  /** All of a full page have a picture, and there is a page more. */
  async isWhole() {
    const { page } = this.one;
    if ((await page.locator('li[data-identity]').count()) !== SHOWN + 1) return false;
    return (await shown(page)).tiles === SHOWN && (await page.getByText('Page 1 of 2').count()) > 0;
  }

  async close() {
    await this.list?.stop();
    await this.one?.context.close();
    await this.others?.close();
    this.pages?.close();
  }
}

/** Each minute of a call in which nothing happens but sound and pictures. */
export async function steady(house, { minutes, seconds }) {
  const meeting = await Meeting.gather(house);
  try {
    meeting.list = crowd(house.server, meeting.room, { changes: 1, idle: 3_600 });
    await eventually('all of them', () => meeting.list.has(/^24 joined/) && meeting.isWhole(), 60_000);
    await pause(seconds > 30 ? 10 : 3);
    const { page } = meeting.one;
    await page.evaluate(watchTasks);
    const seen = [];
    for (let minute = 0; minute < minutes; minute++) {
      const before = await shown(page);
      await page.evaluate(() => Object.assign(window.tasks, { above: 0, longest: 0, ours: 0, oursLongest: 0, oursBusy: 0, which: {} }));
      const begun = performance.now();
      await pause(seconds);
      const took = (performance.now() - begun) / 1000;
      const { above, longest, ours, oursLongest, oursBusy, which } = await page.evaluate(() => window.tasks);
      const after = await shown(page);
      if (!(await meeting.isWhole())) throw new Error('not all were there to the end');
      seen.push({
        seconds: took, above, longest_ms: longest, ours, ours_longest_ms: oursLongest, ours_busy_ms: oursBusy, which,
        pictures_per_second: (after.frames - before.frames) / took / SHOWN,
      });
    }
    return seen;
  } finally {
    await meeting.close();
  }
}

/** What a page holds, once all that it let go of is gone. */
async function held(browser) {
  for (let time = 0; time < 2; time++) await browser.send('HeapProfiler.collectGarbage');
  const { metrics } = await browser.send('Performance.getMetrics');
  const value = (name) => metrics.find((each) => each.name === name).value;
  return { nodes: value('Nodes'), listeners: value('JSEventListeners'), heap_mib: value('JSHeapUsedSize') / 2 ** 20 };
}

/** One of the list leaves and another comes each second, and each ten seconds one of those with a picture. */
export async function churn(house, { seconds, every }) {
  const meeting = await Meeting.gather(house);
  try {
    meeting.list = crowd(house.server, meeting.room, { changes: seconds, idle: 1 });
    await eventually('all of them', () => meeting.list.has(/^24 joined/) && meeting.isWhole(), 60_000);
    const { context, page } = meeting.one;
    await page.getByRole('button', { name: /^People/ }).click();
    const browser = await context.newCDPSession(page);
    await browser.send('Performance.enable');
    const identities = [];
    for (let place = 0; place < SHOWN; place++) identities.push(`person-${place}-0`);
    const samples = [];
    const begun = performance.now();
    const now = () => (performance.now() - begun) / 1000;
    let changes = 0;
    const change = async () => {
      const place = changes % SHOWN;
      await meeting.others.ask('go', { identity: identities[place] });
      identities[place] = await meeting.come(place, ++changes);
    };
    let next = 10;
    for (let at = 0; at <= seconds; at += every) {
      while (next < at) {
        await pause(Math.max(0, next - now()));
        await change();
        next += 10;
      }
      await pause(Math.max(0, at - now()));
      samples.push({ seconds: now(), ...(await held(browser)) });
    }
    await eventually('the end of the changes', () => meeting.list.has(new RegExp(`^${seconds} changed`)), 60_000);
    return { listed: seconds, pictured: changes, samples };
  } finally {
    await meeting.close();
  }
}
