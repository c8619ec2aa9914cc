// SPDX-License-Identifier: EUPL-1.2
// The client that people open, as they open it: start page, pre-join, call, and what comes after.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../support/check.mjs';
import { tiles as people } from '../support/panels.mjs';
import { token } from '../support/server.mjs';
import { button, join, newMeeting, openHouse } from '../support/visitors.mjs';

const house = openHouse();
const someone = (path, options) => house.visitors.someone(path, options);

let rooms = 0;
const newRoom = () => `/r/${`clienttest${++rooms}`.padEnd(26, '0')}`;

/** The mean colour of the middle of each picture of other people, and how far each has played. */
const pictures = ({ page }) =>
  page.evaluate(() =>
    [...document.querySelectorAll('li video:not(.mirrored)')].map((video) => {
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [8, 8];
      const context = canvas.getContext('2d');
      context.drawImage(video, 0, 0, 8, 8);
      const { data } = context.getImageData(0, 0, 8, 8);
      const mean = [0, 1, 2].map((c) => data.filter((_, i) => i % 4 === c).reduce((a, b) => a + b, 0) / 64);
      return { mean, at: video.currentTime };
    }),
  );

/** Chromium's made-up camera is green; black is no picture. */
const isGreen = ({ mean: [r, g, b] }) => g > 60 && g > 2 * b && g > r;

describe('from the start page to the call and back', () => {
  it('a link is made, sent, opened; both see each other; one leaves and comes again', async () => {
    const ada = await someone();
    await newMeeting(ada);
    await join(ada, 'Ada');
    await ada.page.getByText('You are the first one here.').waitFor();
    await button(ada, 'Invite others: copy the link').click();
    await ada.page.getByText('Link copied').first().waitFor();
    const link = await ada.page.evaluate(() => navigator.clipboard.readText());
    assert.equal(link, ada.page.url());

    const bob = await someone();
    await bob.page.getByLabel('Meeting link').fill(link);
    await bob.page.keyboard.press('Enter');
    await join(bob, 'Bob');
    for (const [who, other] of [[ada, 'Bob'], [bob, 'Ada']]) {
      await people(who).filter({ hasText: other }).waitFor();
      await eventually(`${other}’s picture`, async () => {
        const [first] = await pictures(who);
        if (first === undefined || !isGreen(first)) return false;
        const [later] = await pictures(who);
        return later.at > first.at;
      });
    }

    await button(bob, 'Leave the meeting').click();
    await bob.page.getByRole('heading', { name: 'You have left the meeting' }).waitFor();
    await eventually('Ada alone', async () => (await people(ada).count()) === 1);
    await button(bob, 'Join again').click();
    assert.equal(await bob.page.getByLabel('Your name').inputValue(), 'Bob');
    await join(bob, 'Bob');
    await eventually('Ada sees Bob again', async () => (await people(ada).count()) === 2);
  });

  it('a camera that starts after the button was pressed, and before the call is there, is seen', async () => {
    const room = newRoom();
    const ada = await join(await someone(room), 'Ada');
    const bob = await someone('/');
    // The order is forced: the button, then the devices, then the script of the call.
    await bob.page.addInitScript(() => {
      const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getUserMedia = async (wish) => {
        await new Promise((done) => setTimeout(done, 500));
        return ask(wish);
      };
    });
    await bob.page.route('**/assets/room-*.js', async (route) => {
      await new Promise((done) => setTimeout(done, 1500));
      await route.continue();
    });
    await bob.page.goto(house.server.url + room);
    await join(bob, 'Bob');
    await eventually('Bob’s picture', async () => (await pictures(ada)).some(isGreen));
  });

  it('what is switched off is seen to be off', async () => {
    const room = newRoom();
    const ada = await join(await someone(room), 'Ada');
    const bob = await join(await someone(room), 'Bob');
    const seen = people(ada).filter({ hasText: 'Bob' });
    await seen.locator('video').waitFor();
    await seen.locator('video').evaluate((video) => video.addEventListener('emptied', () => (video.dataset.restarts = 'yes')));
    await button(bob, 'Turn off microphone').click();
    await seen.getByText('microphone off').waitFor({ state: 'attached' });
    assert.equal(await seen.locator('video').getAttribute('data-restarts'), null, 'the picture went on meanwhile');
    await button(bob, 'Turn off camera').click();
    await seen.locator('video').waitFor({ state: 'detached' });
    await button(bob, 'Turn on camera').click();
    await seen.locator('video').waitFor();
    // A hint may offer the same: somebody speaks and is not heard.
    await bob.page.getByRole('group', { name: 'Meeting controls' }).getByRole('button', { name: 'Turn on microphone' }).click();
    await seen.getByText('microphone off').waitFor({ state: 'detached' });
  });
});

describe('without devices', () => {
  it('someone who refuses camera and microphone reads why, joins, and sees the others', async () => {
    const room = newRoom();
    const ada = await join(await someone(room), 'Ada');
    const bob = await someone(room, { devices: false });
    await bob.page.getByText('The browser has blocked the camera and the microphone').waitFor();
    await join(bob, 'Bob');
    await eventually('Ada’s picture', async () => (await pictures(bob)).some(isGreen));
    await people(ada).filter({ hasText: 'Bob' }).getByText('microphone off').waitFor({ state: 'attached' });
  });
});

describe('names', () => {
  const PAYLOADS = [
    '<img src=x onerror=alert(1)>',
    '"><script>alert(1)</script>',
    'javascript:alert(1)//\'-alert(1)-\'',
    '{{7*7}}${7*7}<svg/onload=alert(1)>',
  ];
  it('row 46: markup in a name is shown as what it is', async () => {
    const room = newRoom();
    const ada = await join(await someone(room), 'Ada');
    for (const payload of PAYLOADS) {
      const eve = await join(await someone(room), payload);
      await people(ada).filter({ hasText: payload }).waitFor();
      assert.equal(await ada.page.locator('li img, li script, li svg[onload]').count(), 0);
      assert.deepEqual([...ada.wrongs, ...eve.wrongs], []);
      await eve.context.close();
    }
  });

  it('row 46: what would turn a name around, or forge a line, does not reach the others', async () => {
    const room = newRoom();
    const ada = await join(await someone(room), 'Ada');
    const evil = 'evil\u202Etxt.exe\u2066\u200F\n<b>';
    await join(await someone(room), evil);
    // And from a client that is not ours, by a token that an application made.
    const address = `${house.server.ws}/rtc?protocol=16&access_token=${token(room.slice('/r/'.length), 'eve', {}, evil)}`;
    await ada.page.evaluate((address) => void (window.eve = new WebSocket(address)), address);
    await eventually('three people', async () => (await people(ada).count()) === 3);
    const names = await people(ada).allTextContents();
    assert.equal(names.filter((name) => /evil ?txt\.exe ?<b>/.test(name)).length, 2, `${names}`);
    for (const name of names) assert.doesNotMatch(name, /[\p{Cc}\u202A-\u202E\u2066-\u2069\u200E\u200F]/u);
  });

  it('a nameless person is asked for a name', async () => {
    const bob = await someone(newRoom());
    await button(bob, 'Join now').click();
    await bob.page.getByText('Type a name').waitFor();
    assert.equal(await bob.page.evaluate(() => document.activeElement?.id), 'name');
  });
});

describe('pages', () => {
  it('row 46, row 47: say what they may do, and it is little', async () => {
    for (const path of ['/', newRoom()]) {
      const { headers } = await fetch(house.server.url + path);
      const policy = Object.fromEntries(headers.get('content-security-policy').split('; ').map((each) => [each.split(' ', 1)[0], each.slice(each.indexOf(' ') + 1)]));
      assert.equal(policy['default-src'], "'none'");
      // Of all documents a room's alone compiles WebAssembly, for its effects.
      assert.equal(policy['script-src'], path === '/' ? "'self'" : "'self' 'wasm-unsafe-eval'");
      assert.equal(policy['style-src'], "'self'");
      assert.equal(policy['frame-ancestors'], "'none'");
      assert.equal(policy['require-trusted-types-for'], "'script'");
      for (const origin of policy['connect-src'].split(' ')) assert.ok(["'self'", house.server.ws].includes(origin), `${path} may connect to ${origin}`);
      assert.equal(headers.get('referrer-policy'), 'no-referrer');
      assert.equal(headers.get('x-content-type-options'), 'nosniff');
    }
  });

  for (const [width, height] of [[320, 568], [360, 640], [568, 320], [1280, 800], [3840, 2160]]) {
    it(`fit ${width} × ${height} without scrolling sideways`, async () => {
      const viewport = { width, height };
      for (const path of ['/', newRoom()]) {
        const { page } = await someone(path, { viewport });
        const response = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(response <= 0, `${path} is ${response} px too wide`);
        const cut = await page.evaluate(() => {
          const pen = document.createElement('canvas').getContext('2d');
          const room = (input, style) => input.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
          return [...document.querySelectorAll('input[placeholder]')].map((input) => {
            const style = getComputedStyle(input);
            pen.font = style.font;
            return Math.ceil(pen.measureText(input.placeholder).width - room(input, style));
          });
        });
        for (const pixels of cut) assert.ok(pixels <= 0, `${path}: a field’s hint is cut by ${pixels} px`);
      }
      const ada = await join(await someone(newRoom(), { viewport }), 'Ada');
      const sizes = await ada.page.evaluate(() =>
        [...document.querySelectorAll('main button')].map((b) => {
          const { left, right, top, bottom, width, height } = b.getBoundingClientRect();
          return { name: b.ariaLabel ?? b.textContent, inside: left >= 0 && right <= innerWidth && top >= 0 && bottom <= innerHeight, width, height };
        }),
      );
      const names = sizes.map(({ name }) => name);
      if (viewport.width <= 640) {
        const bar = ['Turn off microphone', 'Turn off camera', 'More options', 'Leave the meeting'];
        assert.deepEqual(names.filter((name) => bar.includes(name)), bar, 'four buttons on a small screen, and the way to the others');
      } else {
        assert.ok(sizes.length >= 6, `only ${names}`);
      }
      for (const { name, inside, width, height } of sizes) {
        assert.ok(inside, `${name} is outside of the window`);
        assert.ok(width >= 43.5 && height >= 43.5, `${name} is only ${width} × ${height}`);
      }
    });
  }
});
