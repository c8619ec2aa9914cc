// SPDX-License-Identifier: EUPL-1.2
// The stage, the bar, the keys and the hints of a call, with a call behind them: what is seen is measured and looked at.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import puppeteer from 'puppeteer-core';
import { eventually } from '../support/check.mjs';
import { token } from '../support/server.mjs';
import { button, join, openHouse } from '../support/visitors.mjs';

const house = openHouse();

let rooms = 0;
const newRoom = () => `/r/${`stagetest${++rooms}`.padEnd(26, '0')}`;
const DESK = { viewport: { width: 1280, height: 720 } };
const PHONE = { viewport: { width: 320, height: 568 } };

const list = ({ page }) => page.getByRole('list', { name: 'People in the meeting' });
const tile = (person, name) => list(person).getByRole('listitem').filter({ hasText: name });

/** Someone whose page counts what its connections receive, before any script of the page runs. */
async function watched(room, { media, ...options } = {}) {
  const person = await house.visitors.someone('/', { ...DESK, ...options });
  await person.page.addInitScript(() => {
    const connections = (window.connections = []);
    const Native = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Native {
      constructor(...all) {
        super(...all);
        connections.push(this);
      }
    };
    window.received = async (kind) => {
      let bytes = 0;
      for (const connection of connections) {
        for (const each of (await connection.getStats()).values()) {
          if (each.type === 'inbound-rtp' && each.kind === kind) bytes += each.bytesReceived;
        }
      }
      return bytes;
    };
  });
  if (media !== undefined) await person.page.addInitScript(media);
  await person.page.goto(house.server.url + room);
  return person;
}

/** What came of a kind in one second. */
async function rate({ page }, kind) {
  const from = await page.evaluate((kind) => window.received(kind), kind);
  await page.waitForTimeout(1000);
  return (await page.evaluate((kind) => window.received(kind), kind)) - from;
}

/** People without sound and picture, by the signalling alone: they cost nothing. They come in this order. */
async function crowd(person, room, names) {
  for (const name of names) {
    const address = `${house.server.ws}/rtc?protocol=16&access_token=${token(room.slice('/r/'.length), name.toLowerCase(), {}, name)}`;
    await person.page.evaluate((address) => {
      const socket = new WebSocket(address);
      (window.crowd ??= []).push(socket);
      return new Promise((done, failed) => {
        socket.onmessage = () => done();
        socket.onerror = () => failed(new Error('a person of the crowd was not let in'));
      });
    }, address);
  }
}

/** Each tile's place, by the name on it; of the screen's too. Once nothing moves any more. */
const places = (person) =>
  list(person).evaluate(async (list) => {
    await Promise.allSettled(list.getAnimations({ subtree: true }).map((each) => each.finished));
    return [...list.children].map((each) => {
      const { x, y, width, height } = each.getBoundingClientRect();
      return { name: each.querySelector('bdi').textContent, main: each.classList.contains('main'), x, y, width, height };
    });
  });

function apart(all, { width, height }) {
  for (const [i, a] of all.entries()) {
    assert.ok(a.x >= -1 && a.y >= -1 && a.x + a.width <= width + 1 && a.y + a.height <= height + 1, `${a.name} is outside of the window`);
    for (const b of all.slice(i + 1)) {
      const over = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x) > 1 && Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y) > 1;
      assert.ok(!over, `${a.name} covers ${b.name}`);
    }
  }
}

/** The colours of points of the page as it is painted, each as [red, green, blue]. */
async function colours({ page }, points) {
  const picture = (await page.screenshot()).toString('base64');
  return page.evaluate(
    async ([picture, points]) => {
      const image = new Image();
      image.src = `data:image/png;base64,${picture}`;
      await image.decode();
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [image.width, image.height];
      const pen = canvas.getContext('2d');
      pen.drawImage(image, 0, 0);
      return points.map(([x, y]) => [...pen.getImageData(Math.round(x), Math.round(y), 1, 1).data].slice(0, 3));
    },
    [picture, points],
  );
}

/** Chromium's made-up camera is green; a tile without a picture is grey. */
const isGreen = ([r, g, b]) => g > 60 && g > 2 * b && g > r;
const middle = ({ x, y, width, height }) => [x + width / 2, y + height / 2];
async function sees(person, name) {
  const found = (await places(person)).find((each) => each.name === name);
  if (found === undefined) return false;
  const [colour] = await colours(person, [[found.x + found.width / 2, found.y + found.height * 0.75]]);
  return isGreen(colour);
}

async function menu(person, name, entry) {
  await tile(person, name).hover();
  await button(person, `Options for ${name}`).click();
  await person.page.getByRole('menuitemcheckbox', { name: entry }).or(person.page.getByRole('menuitem', { name: entry })).click();
}
async function more(person, choice) {
  await button(person, 'More options').click();
  await person.page.getByRole('radio', { name: choice }).check();
  await person.page.keyboard.press('Escape');
}

describe('the grid', () => {
  it('packs nine without a gap in the order of arrival; who comes sits at the end, and who goes moves only those after', async () => {
    const room = newRoom();
    const ada = await join(await watched(room), 'Ada');
    await crowd(ada, room, ['P1', 'P2', 'P3', 'P4', 'P5', 'P6', 'P7', 'P8']);
    await eventually('nine tiles', async () => (await places(ada)).length === 9);
    await ada.page.waitForTimeout(400);
    const nine = await places(ada);
    assert.deepEqual(nine.map(({ name }) => name), ['Ada (you)', 'P1', 'P2', 'P3', 'P4', 'P5', 'P6', 'P7', 'P8']);
    apart(nine, DESK.viewport);
    assert.equal(new Set(nine.map(({ x }) => Math.round(x))).size, 3, 'three columns');
    assert.equal(new Set(nine.map(({ y }) => Math.round(y))).size, 3, 'three rows');
    const area = nine.reduce((sum, { width, height }) => sum + width * height, 0);
    assert.ok(area > 0.75 * 1264 * 600, `the tiles fill the stage, but for ${Math.round(area)} pixels`);
    // A SignalRequest of nothing but `leave`: a socket that only closes would be waited for.
    await ada.page.evaluate(() => window.crowd[4].send(new Uint8Array([0x42, 0])));
    await eventually('P5 has gone', async () => (await places(ada)).length === 8);
    assert.deepEqual((await places(ada)).map(({ name }) => name), ['Ada (you)', 'P1', 'P2', 'P3', 'P4', 'P6', 'P7', 'P8']);
  });

  it('has pages, turned by buttons and keys; a picture comes by the network only while its page is looked at', async () => {
    const room = newRoom();
    const ada = await join(await watched(room, PHONE), 'Ada');
    await crowd(ada, room, Array.from({ length: 11 }, (_, i) => `P${i + 1}`));
    await eventually('a first page of eight', async () => (await places(ada)).length === 8);
    apart(await places(ada), PHONE.viewport);
    const bob = await join(await house.visitors.someone(room), 'Bob');
    // He is silent: sound would give him a seat on the first page.
    await button(bob, 'Turn off microphone').click();
    await ada.page.getByText('Page 1 of 2').waitFor({ state: 'attached' });
    await eventually('nothing of Bob’s picture comes', async () => (await rate(ada, 'video')) < 500);

    await button(ada, 'Next page of people').click();
    await eventually('Bob’s picture', () => sees(ada, 'Bob'));
    assert.ok((await rate(ada, 'video')) > 2_000, 'his picture comes now');
    apart(await places(ada), PHONE.viewport);
    await button(ada, 'Previous page of people').click();
    await eventually('nothing of Bob’s picture comes any more', async () => (await rate(ada, 'video')) < 500);
    await ada.page.keyboard.press('PageDown');
    await tile(ada, 'Bob').waitFor();
  });
});

describe('who is large', () => {
  it('by one’s own pin, from the keyboard alone; twice pressed as well; and the seats are as before afterwards', async () => {
    const room = newRoom();
    const ada = await join(await watched(room), 'Ada');
    await join(await house.visitors.someone(room), 'Bob');
    await crowd(ada, room, ['P1', 'P2', 'P3']);
    await eventually('Bob’s picture', () => sees(ada, 'Bob'));
    await eventually('five tiles', async () => (await places(ada)).length === 5);
    const before = (await places(ada)).map(({ name }) => name);
    await button(ada, 'Options for Bob').focus();
    await ada.page.keyboard.press('Enter');
    await ada.page.getByRole('menuitemcheckbox', { name: 'Pin for me' }).waitFor();
    assert.equal(await ada.page.evaluate(() => document.activeElement.textContent.trim()), 'Pin for me', 'the menu has the keyboard');
    await ada.page.keyboard.press('Enter');
    await eventually('Bob is large', async () => (await places(ada)).some(({ name, main }) => main && name === 'Bob'));
    await ada.page.waitForTimeout(400);
    const pinned = await places(ada);
    apart(pinned, DESK.viewport);
    const bob = pinned.find(({ name }) => name === 'Bob');
    for (const other of pinned.filter(({ name }) => name !== 'Bob')) assert.ok(bob.width * bob.height > 4 * other.width * other.height);
    await eventually('his picture, large', () => sees(ada, 'Bob'));
    assert.equal(await tile(ada, 'Bob').locator('video').evaluate((video) => video.readyState >= 2 && !video.paused), true);

    // A second pin stands beside the first.
    await tile(ada, 'P2').dblclick();
    await eventually('two are large', async () => (await places(ada)).filter(({ main }) => main).length === 2);
    await button(ada, 'More options').click();
    await button(ada, 'Unpin everyone').click();
    await eventually('nobody is large', async () => (await places(ada)).every(({ main }) => !main));
    assert.deepEqual((await places(ada)).map(({ name }) => name), before);
  });

  it('in the speaker’s view whoever talks, and a signer all the same', async () => {
    const room = newRoom();
    const ada = await join(await watched(room), 'Ada');
    await join(await house.visitors.someone(room), 'Bob');
    await crowd(ada, room, ['P1', 'P2']);
    await eventually('four tiles', async () => (await places(ada)).length === 4);
    await more(ada, 'Who speaks');
    const large = async () => (await places(ada)).filter(({ main }) => main).map(({ name }) => name);
    // Chromium's made-up microphone beeps, and nobody else makes a sound.
    await eventually('Bob is large', async () => (await large()).join() === 'Bob', 15_000);
    await menu(ada, 'P2', 'Sign language: always show');
    await eventually('P2 has the first place, Bob the one beside', async () => (await large()).join() === 'P2,Bob');
    await ada.page.waitForTimeout(400);
    apart(await places(ada), DESK.viewport);
    await tile(ada, 'P2').getByText('sign language').waitFor({ state: 'attached' });
  });

  it('a shared screen, which is enlarged and moved by keys, by the wheel, and shown whole again', async () => {
    const room = newRoom();
    const ada = await join(await watched(room), 'Ada');
    // Left half red, right half blue.
    const share = () => {
      navigator.mediaDevices.getDisplayMedia = async () => {
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [1280, 720];
        const pen = canvas.getContext('2d');
        const paint = () => {
          pen.fillStyle = 'red';
          pen.fillRect(0, 0, 640, 720);
          pen.fillStyle = 'blue';
          pen.fillRect(640, 0, 640, 720);
        };
        paint();
        setInterval(paint, 100);
        return canvas.captureStream(10);
      };
    };
    const bob = await join(await watched(room, { media: share }), 'Bob');
    await button(bob, 'Share your screen').click();
    await bob.page.getByText('You are sharing your screen.').waitFor();
    const screen = async () => (await places(ada)).find(({ name }) => name === 'Bob’s screen');
    const at = async (share) => {
      const { x, y, width, height } = await screen();
      const [[r, , b]] = await colours(ada, [[x + width * share, y + height / 2]]);
      return r > 150 && b < 100 ? 'red' : b > 150 && r < 100 ? 'blue' : `neither: ${r} ${b}`;
    };
    await eventually('red at the left, blue at the right', async () => (await screen()) !== undefined && (await at(0.4)) === 'red' && (await at(0.6)) === 'blue');
    const whole = await screen();
    const others = (await places(ada)).filter(({ name }) => name !== whole.name);
    assert.equal(others.length, 2);
    for (const other of others) assert.ok(whole.width * whole.height > 4 * other.width * other.height, 'the screen is larger than anyone');

    await ada.page.getByRole('group', { name: 'Bob’s screen' }).focus();
    for (const key of ['+', '+', '+', 'ArrowRight', 'ArrowRight', 'ArrowRight']) await ada.page.keyboard.press(key);
    await eventually('moved to the right: all is blue', async () => (await at(0.3)) === 'blue');
    assert.deepEqual(await screen(), whole, 'the tile itself stays');
    await ada.page.keyboard.press('0');
    await eventually('whole again', async () => (await at(0.4)) === 'red' && (await at(0.6)) === 'blue');
    const [x, y] = middle(whole);
    await ada.page.mouse.move(whole.x + whole.width * 0.2, y);
    await ada.page.mouse.wheel(0, -600);
    await eventually('enlarged at the pointer: all is red', async () => (await at(0.7)) === 'red');
    await button(ada, 'Show the whole screen').click();
    await eventually('whole once more', async () => (await at(0.6)) === 'blue');
    assert.ok(x > 0);
  });

  it('not oneself: the own picture floats, goes to the corner that an arrow key says, or is hidden, and the others see it all the same', async () => {
    const room = newRoom();
    const ada = await join(await watched(room), 'Ada');
    const bob = await join(await house.visitors.someone(room), 'Bob');
    await eventually('two tiles', async () => (await places(ada)).length === 2);
    await more(ada, 'In a corner');
    const own = ada.page.getByRole('group', { name: 'Your own picture' });
    await own.waitFor();
    assert.deepEqual((await places(ada)).map(({ name }) => name), ['Bob']);
    const before = await own.boundingBox();
    await own.focus();
    await ada.page.keyboard.press('ArrowUp');
    await ada.page.keyboard.press('ArrowLeft');
    const after = await own.boundingBox();
    assert.ok(after.x < before.x - 300 && after.y < before.y - 200, JSON.stringify([before, after]));
    await more(ada, 'Not at all');
    await own.waitFor({ state: 'detached' });
    await eventually('Bob sees Ada', () => sees(bob, 'Ada'));
    // It is kept for the next meeting.
    assert.equal(await ada.page.evaluate(() => JSON.parse(localStorage['parvis.settings']).selfView), 'hidden');
  });
});

describe('little network', () => {
  it('sound only: pictures stop coming, the own camera goes off, sound goes on; and all comes back', async () => {
    const room = newRoom();
    const ada = await join(await watched(room), 'Ada');
    const bob = await join(await house.visitors.someone(room), 'Bob');
    await eventually('Bob’s picture', () => sees(ada, 'Bob'));
    await more(ada, 'Sound only');
    await ada.page.getByText('Sound only: no pictures come in').waitFor();
    await tile(ada, 'Bob').locator('video').waitFor({ state: 'detached' });
    await tile(bob, 'Ada').locator('video').waitFor({ state: 'detached' });
    await eventually('no picture comes', async () => (await rate(ada, 'video')) < 200);
    assert.ok((await rate(ada, 'audio')) > 500, 'sound comes');
    await button(ada, 'Bring everything back').click();
    await eventually('Bob’s picture again', () => sees(ada, 'Bob'));
  });

  it('figures of the call are those of the call, and their copy names nobody', async () => {
    const room = newRoom();
    const ada = await join(await watched(room), 'Ada');
    await join(await house.visitors.someone(room), 'Bob');
    await eventually('Bob’s picture', () => sees(ada, 'Bob'));
    await button(ada, 'More options').click();
    await button(ada, 'Call statistics').click();
    const row = ada.page.getByRole('row').filter({ hasText: 'Bob' }).filter({ hasText: 'Camera' });
    await eventually('a rate and a size', async () => {
      if ((await row.count()) === 0) return false;
      const [kind, speed, , trip, size] = await row.getByRole('cell').allTextContents();
      return kind === 'Camera' && Number.parseFloat(speed.replace(',', '')) > 10 && /^\d+ ms$/.test(trip) && /^\d{3,4} × \d{3}$/.test(size);
    });
    await button(ada, 'Copy the figures').click();
    await ada.page.getByText('The figures are copied.').waitFor();
    const text = await ada.page.evaluate(() => navigator.clipboard.readText());
    assert.match(text, /received from 1, camera: \d+ kbit\/s/);
    assert.match(text, /sent, microphone: \d+ kbit\/s/);
    assert.doesNotMatch(text, /Bob|Ada/);
  });
});

/** A microphone that speaks all the time, and lists that the test may change. */
const SPEAKS = () => {
  const { mediaDevices } = navigator;
  const ask = mediaDevices.getUserMedia.bind(mediaDevices);
  const list = mediaDevices.enumerateDevices.bind(mediaDevices);
  window.asked = [];
  window.extra = [];
  mediaDevices.getUserMedia = async (wish) => {
    window.asked.push(JSON.stringify(wish));
    if (!wish.audio) return ask(wish);
    const context = new AudioContext();
    const tone = new OscillatorNode(context, { frequency: 300 });
    const out = context.createMediaStreamDestination();
    tone.connect(out);
    tone.start();
    window.addEventListener('pointerdown', () => void context.resume());
    const stream = out.stream;
    if (wish.video) for (const track of (await ask({ video: wish.video })).getTracks()) stream.addTrack(track);
    return stream;
  };
  mediaDevices.enumerateDevices = async () => [...(await list()), ...window.extra];
};

describe('hints and keys', () => {
  it('whoever speaks while muted is told so, holds Space, is heard for so long, and no longer', async () => {
    const room = newRoom();
    const ada = await watched(room, { media: SPEAKS });
    await ada.page.mouse.click(5, 300);
    await join(ada, 'Ada');
    const bob = await join(await house.visitors.someone(room), 'Bob');
    await button(ada, 'Turn off microphone').click();
    await ada.page.getByText('You are speaking, but your microphone is off.').waitFor({ timeout: 10_000 });
    assert.match(await ada.page.title(), /^Microphone off/);
    await ada.page.locator('main').focus();
    await ada.page.keyboard.down('Space');
    await ada.page.getByText('Your microphone is on for as long as you hold Space.').waitFor();
    await tile(bob, 'Ada').getByText('microphone off').waitFor({ state: 'detached' });
    await tile(bob, 'Ada').getByText('speaking').waitFor({ state: 'attached' });
    assert.doesNotMatch(await ada.page.title(), /Microphone off/);
    await ada.page.keyboard.up('Space');
    await tile(bob, 'Ada').getByText('microphone off').waitFor({ state: 'attached' });
    // On a button, Space presses the button.
    await button(ada, 'Turn off camera').focus();
    await ada.page.keyboard.press('Space');
    await button(ada, 'Turn on camera').waitFor();
    await button(ada, 'Turn on microphone').waitFor();
  });

  it('shortcuts do what their list says, and nothing once they are switched off', async () => {
    const ada = await join(await watched(newRoom()), 'Ada');
    const { keyboard } = ada.page;
    await keyboard.press('Control+d');
    await button(ada, 'Turn on microphone').waitFor();
    await keyboard.press('Control+e');
    await button(ada, 'Turn on camera').waitFor();
    await keyboard.press('F2');
    assert.equal(await ada.page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'Turn on microphone');
    await keyboard.press('?');
    const keys = ada.page.getByRole('dialog', { name: 'Keyboard shortcuts' });
    await keys.getByText('Talk while held, when the microphone is off').waitFor();
    await keys.getByRole('checkbox').uncheck();
    await keyboard.press('Escape');
    await keys.waitFor({ state: 'detached' });
    assert.equal(await ada.page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'Turn on microphone', 'the keyboard is back where it was');
    await keyboard.press('Control+d');
    await ada.page.waitForTimeout(300);
    await button(ada, 'Turn on microphone').waitFor();
    assert.equal(await button(ada, 'Turn off microphone').count(), 0);
  });

  it('a headset that is plugged in is offered, and used only when the user says so', async () => {
    const ada = await watched(newRoom(), { media: SPEAKS });
    await ada.page.mouse.click(5, 300);
    await join(ada, 'Ada');
    await ada.page.waitForTimeout(1_000);
    await ada.page.evaluate(() => {
      window.asked.length = 0;
      window.extra = [{ kind: 'audioinput', deviceId: 'jabra', label: 'Headset 3000 (0b0e:0301)', groupId: 'g' }];
      navigator.mediaDevices.dispatchEvent(new Event('devicechange'));
    });
    await ada.page.getByText('Headset 3000 is connected. Use it for this meeting?').waitFor();
    assert.deepEqual(await ada.page.evaluate(() => window.asked), []);
    await button(ada, 'Use it').click();
    await eventually('the headset is asked for', async () => (await ada.page.evaluate(() => window.asked.join())).includes('jabra'));
    await ada.page.getByText('Headset 3000 is connected.').waitFor({ state: 'detached' });
  });
});

describe('small windows', () => {
  for (const viewport of [PHONE.viewport, { width: 568, height: 320 }]) {
    it(`at ${viewport.width} × ${viewport.height} the bar has four buttons, and the rest is one press away and all in sight`, async () => {
      const room = newRoom();
      const ada = await join(await watched(room, { viewport }), 'Ada');
      await crowd(ada, room, ['P1', 'P2', 'P3']);
      await eventually('four tiles', async () => (await places(ada)).length === 4);
      apart(await places(ada), viewport);
      const bar = ada.page.getByRole('group', { name: 'Meeting controls' });
      assert.equal(await bar.getByRole('button').count(), 4);
      await button(ada, 'More options').click();
      const sheet = ada.page.getByRole('dialog', { name: 'More' });
      for (const name of ['Invite others: copy the link', 'Camera and sound settings', 'Call statistics', 'Keyboard shortcuts']) {
        const entry = sheet.getByRole('button', { name });
        await entry.scrollIntoViewIfNeeded();
        const box = await entry.boundingBox();
        assert.ok(box.x >= 0 && box.x + box.width <= viewport.width && box.y >= 0 && box.y + box.height <= viewport.height, `${name} is outside`);
        assert.ok(box.height >= 43.5, `${name} is only ${box.height} high`);
      }
      assert.ok(await sheet.evaluate((dialog) => dialog.scrollWidth <= dialog.clientWidth), 'the sheet does not scroll sideways');
    });
  }

  it('with text twice as large nothing of the bar leaves the window', async () => {
    const ada = await join(await watched(newRoom(), PHONE), 'Ada');
    await ada.page.evaluate(() => (document.documentElement.style.fontSize = '200%'));
    const boxes = await ada.page.getByRole('group', { name: 'Meeting controls' }).getByRole('button').all();
    for (const each of boxes) {
      const box = await each.boundingBox();
      assert.ok(box.x >= 0 && box.x + box.width <= 320 && box.y + box.height <= 568, `${await each.getAttribute('aria-label')} is outside`);
    }
    assert.ok(await ada.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  });
});

describe('before the call', () => {
  it('whoever has refused the devices is told where this browser keeps its permissions', async () => {
    const bob = await house.visitors.someone(newRoom(), { devices: false });
    await bob.page.getByText('How to allow camera and microphone').click();
    await bob.page.getByText('Press the symbol with two sliders').waitFor();
  });

  it('the loudspeaker is tried by a melody that can be heard', async () => {
    const bob = await house.visitors.someone('/');
    await bob.page.addInitScript(() => {
      const notes = (window.notes = []);
      const start = OscillatorNode.prototype.start;
      OscillatorNode.prototype.start = function (at) {
        notes.push(Math.round(this.frequency.value));
        return start.call(this, at);
      };
    });
    await bob.page.goto(house.server.url + newRoom());
    await button(bob, 'Test the sound').click();
    await bob.page.getByText('You should hear a short melody now.').waitFor();
    await bob.page.getByText('Nothing heard?').waitFor();
    assert.deepEqual(await bob.page.evaluate(() => window.notes), [523, 659, 784]);
  });
});

describe('Firefox', () => {
  it('sees the stage as Chromium does, with the picture of someone who uses that', async () => {
    const room = newRoom();
    const bob = await join(await watched(room), 'Bob');
    const browser = await puppeteer.launch({
      browser: 'firefox',
      executablePath: '/usr/bin/firefox-esr',
      headless: true,
      extraPrefsFirefox: {
        'media.navigator.streams.fake': true,
        'media.navigator.permission.disabled': true,
        'media.peerconnection.ice.obfuscate_host_addresses': false,
        'media.autoplay.default': 0,
        'media.cubeb.force_mock_context': true,
      },
    });
    try {
      const page = await browser.newPage();
      await page.setViewport(DESK.viewport);
      await page.goto(house.server.url + room);
      await page.waitForSelector('#name');
      await page.type('#name', 'Fay');
      await page.keyboard.press('Enter');
      await eventually('Bob’s picture in Firefox', () =>
        page.evaluate(() => {
          const video = [...document.querySelectorAll('li[data-identity]')].find((each) => each.textContent.includes('Bob'))?.querySelector('video');
          if (!video || video.videoWidth === 0) return false;
          const canvas = document.createElement('canvas');
          [canvas.width, canvas.height] = [8, 8];
          const pen = canvas.getContext('2d');
          pen.drawImage(video, 0, 0, 8, 8);
          const [r, g, b] = pen.getImageData(4, 6, 1, 1).data;
          return g > 60 && g > 2 * b && g > r;
        }), 30_000);
      const boxes = await page.evaluate(() =>
        [...document.querySelectorAll('li[data-identity]')].map((each) => {
          const { x, y, width, height } = each.getBoundingClientRect();
          return { name: each.textContent, x, y, width, height };
        }),
      );
      assert.equal(boxes.length, 2);
      apart(boxes, DESK.viewport);
      await tile(bob, 'Fay').waitFor();
      await page.keyboard.down('Control');
      await page.keyboard.press('e');
      await page.keyboard.up('Control');
      await tile(bob, 'Fay').locator('video').waitFor({ state: 'detached' });
    } finally {
      await browser.close();
    }
  });
});
