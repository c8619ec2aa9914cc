// SPDX-License-Identifier: EUPL-1.2
// Files that somebody else chose the name or the content of: what is fetched by paths, sent in the chat, and shown as a picture.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join as place } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { deflateSync } from 'node:zlib';
import { eventually } from '../support/check.mjs';
import { Server, sign } from '../support/server.mjs';
import { button, join, newMeeting, openHouse } from '../support/visitors.mjs';

const CANARY = 'the-content-of-a-file-that-nobody-may-fetch';

/** What a server answers to this path, as it stands: whoever asks does not tidy it up. */
function fetchRaw(url, path) {
  const { hostname, port, host } = new URL(url);
  return new Promise((done, failed) => {
    const socket = connect(port, hostname, () => socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`));
    let text = '';
    socket.setEncoding('latin1').on('data', (part) => (text += part)).on('end', () => {
      const [head, ...body] = text.split('\r\n\r\n');
      done({ status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]), body: body.join('\r\n\r\n') });
    }).on('error', failed);
  });
}

describe('row 61: a path', () => {
  let server;
  before(async () => {
    server = await Server.start();
    // Beside the database, in the folder of recordings, and one above: what a path would have to find.
    mkdirSync(place(server.data, 'recordings'), { recursive: true });
    for (const file of ['canary.txt', 'recordings/canary.txt']) writeFileSync(place(server.data, file), CANARY);
  });
  after(() => server?.stop());

  it('leads to no file of the machine, whatever it is written like and wherever it begins', async () => {
    const up = ['..', '%2e%2e', '.%2e', '%252e%252e', '..%00', '%c0%ae%c0%ae', '..;'];
    const slashes = ['/', '%2f', '%5c', '\\', '%252f', '%c0%af'];
    const roots = ['', '/assets', '/r', '/live/none', '/api/recordings', '/api/rooms', '/api/branding'];
    const targets = [`${server.data.slice(1)}/canary.txt`, 'canary.txt', 'recordings/canary.txt', 'parvis.db', 'etc/passwd'];
    let asked = 0;
    for (const root of roots) {
      for (const dots of up) {
        for (const slash of slashes) {
          for (const target of targets) {
            const path = `${root}/${`${dots}${slash}`.repeat(6)}${target.replaceAll('/', slash)}`;
            const { status, body } = await fetchRaw(server.url, path);
            asked++;
            // The client's page is the answer to any room's name; all else is not there, not allowed, or no request.
            assert.ok([200, 400, 401, 403, 404, 405, 429].includes(status), `${path}: ${status}`);
            if (status === 200) assert.match(body, /<div id="app">/, path);
            for (const secret of [CANARY, 'root:', 'SQLite format']) assert.ok(!body.includes(secret), `${path} gives what nobody may see`);
          }
        }
      }
    }
    assert.equal(asked, roots.length * up.length * slashes.length * targets.length);
    assert.equal((await fetch(`${server.url}/livez`)).status, 200);
  });

  it('the server takes no document and no picture from anybody: there is nothing that it would convert', async () => {
    const { paths } = await (await fetch(`${server.url}/api/openapi.json`)).json();
    const taken = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, { requestBody }]) => Object.keys(requestBody?.content ?? {}).map((type) => [type, `${method} ${path}`])),
    );
    assert.ok(taken.length >= 9, 'the description names what is taken');
    const known = ['application/json', 'application/sdp', 'application/trickle-ice-sdpfrag'];
    assert.deepEqual(taken.filter(([type]) => !known.includes(type)), []);
    for (const type of ['multipart/form-data; boundary=x', 'image/png', 'application/pdf', 'application/octet-stream']) {
      for (const path of ['/api/rooms', '/api/rooms/atelier/join', '/twirp/livekit.RoomService/CreateRoom', '/upload', '/api/branding/logo']) {
        const { status } = await fetch(server.url + path, { method: 'POST', headers: { 'content-type': type }, body: '--x\r\n' });
        assert.ok([400, 401, 403, 404, 405, 415, 429].includes(status), `${path} takes ${type}: ${status}`);
      }
    }
  });
});

const house = openHouse();
const panel = ({ page }) => page.getByRole('complementary');

/** Two in a meeting whose rules allow files, both with the chat open. */
async function twoWithFiles() {
  const ada = await house.visitors.someone();
  const path = await newMeeting(ada);
  await join(ada, 'Ada');
  const bo = await join(await house.visitors.someone(path), 'Bo');
  await button(ada, 'More').last().click();
  await ada.page.getByRole('dialog').getByRole('button', { name: 'Run the meeting', exact: true }).click();
  const allowed = panel(ada).getByLabel('Sending files');
  await allowed.waitFor();
  if (!(await allowed.isChecked())) await allowed.click();
  await eventually('the rule holds', () => allowed.isChecked());
  for (const person of [ada, bo]) {
    await button(person, /^Chat/).first().click();
    await panel(person).getByRole('heading', { name: 'Chat', level: 2 }).waitFor();
  }
  await panel(ada).getByRole('button', { name: /^Send a file to all, up to/ }).waitFor();
  return { ada, bo };
}

/** Sends a file as a page would that is not ours: under a name that no file of a disk could have. */
async function send({ page }, name, content, mimeType = 'application/octet-stream') {
  await page.evaluate((name) => Object.defineProperty(File.prototype, 'name', { configurable: true, get: () => name }), name);
  await page.locator('input[type=file]').setInputFiles({ name: 'any', mimeType, buffer: content });
}

async function saved({ page }, entry) {
  const [download] = await Promise.all([page.waitForEvent('download'), entry.getByRole('button', { name: /^Save / }).click()]);
  return { name: download.suggestedFilename(), content: readFileSync(await download.path()) };
}

describe('row 61: a file’s name', () => {
  const NAMES = [
    ['../../../../etc/cron.d/evil', 'evil'],
    ['..\\..\\Startup\\evil.exe', 'evil.exe'],
    ['/etc/passwd', 'passwd'],
    ['C:\\Windows\\win.ini', 'win.ini'],
    ['.bashrc', 'bashrc'],
    ['a\u0000.txt', 'a.txt'],
    ['invoice\u202Efdp.exe', 'invoice fdp.exe'],
  ];
  it('is no path where it is saved, whatever the sender calls it', async () => {
    const { ada, bo } = await twoWithFiles();
    for (const [number, [name, expected]] of NAMES.entries()) {
      await send(ada, name, Buffer.from(`content ${number}`));
      const entry = panel(bo).getByRole('article').filter({ has: bo.page.getByRole('button', { name: /^Save / }) }).nth(number);
      await entry.waitFor();
      const { name: kept, content } = await saved(bo, entry);
      assert.equal(kept, expected, JSON.stringify(name));
      assert.equal(content.toString(), `content ${number}`);
      assert.doesNotMatch(await entry.innerText(), /\.\.|[/\\]etc|[\u0000\u202E]/, JSON.stringify(name));
    }
  });
});

describe('row 46: markup', () => {
  const PAYLOAD = '<img src=x onerror=alert(1)><svg onload=alert(1)>';

  async function openFromList({ page }, entry) {
    await button({ page }, 'More').last().click();
    await page.getByRole('dialog').getByRole('button', { name: entry, exact: true }).click();
    await panel({ page }).getByRole('heading', { name: entry, level: 2 }).waitFor();
  }

  it('is shown as what it is in every text that somebody brings: titles, messages, polls, broadcasts; and no picture is fetched', async () => {
    const ada = await house.visitors.someone();
    const path = await newMeeting(ada, { title: PAYLOAD });
    const bo = await house.visitors.someone(path);
    await bo.page.getByRole('heading', { name: PAYLOAD }).waitFor();
    await join(ada, 'Ada');
    await join(bo, 'Bo');
    const isText = async (person, what, text = PAYLOAD) => {
      // Not the first one that is there: one that is seen.
      await person.page.getByText(text).filter({ visible: true }).first().waitFor();
      assert.equal(await person.page.locator('img[src="x"], svg[onload], [onerror]').count(), 0, `${what} is markup`);
    };

    await button(ada, /^Chat/).first().click();
    await panel(ada).getByRole('textbox', { name: /^Message to/ }).fill(PAYLOAD);
    await ada.page.keyboard.press('Enter');
    await button(bo, /^Chat/).first().click();
    await isText(bo, 'a message');

    await openFromList(ada, 'Polls');
    await panel(ada).getByRole('button', { name: 'New poll' }).click();
    await panel(ada).getByLabel('Question').fill(`Q ${PAYLOAD}`);
    await panel(ada).getByLabel('Answer 1', { exact: true }).fill(`1 ${PAYLOAD}`);
    await panel(ada).getByLabel('Answer 2', { exact: true }).fill(`2 ${PAYLOAD}`);
    await panel(ada).getByRole('button', { name: 'Start the poll' }).click();
    await openFromList(bo, 'Polls');
    for (const text of [`Q ${PAYLOAD}`, `1 ${PAYLOAD}`, `2 ${PAYLOAD}`]) await panel(bo).getByText(text).first().waitFor();
    await isText(bo, 'a poll');

    await openFromList(ada, 'Breakout rooms');
    await panel(ada).getByLabel('Bo', { exact: true }).selectOption('Room 2');
    await panel(ada).getByRole('button', { name: 'Open the rooms' }).click();
    // At once, and once: Bo is on the way, and reads it all the same.
    await panel(ada).getByLabel('Message to all rooms').fill(PAYLOAD);
    await panel(ada).getByRole('button', { name: 'Send to all rooms' }).click();
    await bo.page.getByText('You are now in Room 2.').first().waitFor({ timeout: 20_000 });
    await isText(bo, 'a broadcast', `Ada to all rooms: ${PAYLOAD}`);
    bo.wrongs.splice(0, bo.wrongs.length, ...bo.wrongs.filter((wrong) => !/^console publisher data channel '.*' closed unexpectedly/.test(wrong)));

    // From an application that describes people: nothing of it is an address that the others' browsers ask.
    const now = Math.floor(Date.now() / 1000);
    const picture = 'http://127.0.0.1:9/eve.png';
    const claims = {
      iss: 'devkey', sub: 'eve', name: 'Eve', nbf: now - 5, exp: now + 60, metadata: JSON.stringify({ avatar: picture, picture }),
      attributes: { avatar: picture, 'lk.avatar': picture }, video: { roomJoin: true, room: path.slice('/r/'.length) },
    };
    const address = `${house.server.ws}/rtc?protocol=16&access_token=${sign(claims, 'secret')}`;
    await ada.page.evaluate((address) => void (window.eve = new WebSocket(address)), address);
    await ada.page.getByRole('list', { name: 'People in the meeting' }).getByText('Eve').first().waitFor();
    assert.equal(await ada.page.locator(`[src*="eve.png"], [href*="eve.png"], [style*="eve.png"]`).count(), 0);
  });
});

/** A PNG of one colour, one bit for each pixel: a few kilobytes that become gigabytes in a browser that opens it. */
function bombPng(side) {
  const crcs = Array.from({ length: 256 }, (_, n) => {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    return c >>> 0;
  });
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    let crc = 0xffffffff;
    for (const byte of body) crc = crcs[(crc ^ byte) & 0xff] ^ (crc >>> 8);
    const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    check.writeUInt32BE((crc ^ 0xffffffff) >>> 0);
    return Buffer.concat([length, body, check]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(side, 0);
  head.writeUInt32BE(side, 4);
  head[8] = 1;
  const rows = Buffer.alloc((1 + Math.ceil(side / 8)) * side);
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', head), chunk('IDAT', deflateSync(rows, { level: 9 })), chunk('IEND', Buffer.alloc(0))]);
}

/** Drawings that multiply: as entities, and as uses of uses. */
const LAUGHS = `<svg xmlns="http://www.w3.org/2000/svg"><g id="a0"><rect width="9" height="9"/></g>${Array.from(
  { length: 9 },
  (_, level) => `<g id="a${level + 1}">${`<use href="#a${level}"/>`.repeat(10)}</g>`,
).join('')}</svg>`;

describe('row 62: a picture that unpacks to gigabytes', () => {
  it('is bytes with a name to whoever gets it: nothing opens it, and the call goes on', async () => {
    const { ada, bo } = await twoWithFiles();
    const bombs = [
      ['bomb.png', 'image/png', bombPng(30_000)],
      ['laughs.svg', 'image/svg+xml', Buffer.from(LAUGHS)],
      ['zeros.gz', 'application/gzip', deflateSync(Buffer.alloc(50_000_000), { level: 9 })],
    ];
    assert.ok(bombs.every(([, , content]) => content.length < 500_000), 'all of them are small on their way');
    await bo.page.evaluate(() => {
      window.opened = [];
      for (const name of ['createImageBitmap', 'Image', 'ImageDecoder']) {
        const real = window[name];
        window[name] = new Proxy(real, {
          apply: (target, self, all) => (window.opened.push(name), Reflect.apply(target, self, all)),
          construct: (target, all) => (window.opened.push(name), Reflect.construct(target, all)),
        });
      }
    });
    for (const [number, [name, type, content]] of bombs.entries()) {
      await send(ada, name, content, type);
      const entry = panel(bo).getByRole('article').filter({ has: bo.page.getByRole('button', { name: /^Save / }) }).nth(number);
      await entry.waitFor();
      assert.equal(await entry.locator('img, picture, object, embed, iframe, canvas, video, svg image').count(), 0, `${name} is shown`);
      const file = await saved(bo, entry);
      assert.equal(file.name, name);
      assert.ok(file.content.equals(content), `${name} is what was sent`);
    }
    assert.deepEqual(await bo.page.evaluate(() => window.opened), [], 'nothing opened a picture');
    const painted = () => bo.page.evaluate(() => Math.max(...[...document.querySelectorAll('li video')].map((video) => video.getVideoPlaybackQuality().totalVideoFrames)));
    const before = await painted();
    await eventually('the pictures go on', async () => (await painted()) > before + 5);
  });

  it('or a file that is compressed on its way, and so small, is taken no further than it may be large', async () => {
    const { ada, bo } = await twoWithFiles();
    await bo.page.evaluate(() => {
      const Native = window.DecompressionStream;
      window.inflated = 0;
      window.DecompressionStream = class {
        constructor(format) {
          const native = new Native(format);
          const count = new TransformStream({
            transform(part, out) {
              window.inflated += part.byteLength;
              out.enqueue(part);
            },
          });
          this.writable = native.writable;
          this.readable = native.readable.pipeThrough(count);
        }
      };
    });
    // 100 megabytes of nothing from a page that is not ours: its own rules see a small file, and the others are told another size.
    const bomb = (told) =>
      ada.page.evaluate((told) => {
        Object.defineProperty(File.prototype, 'size', { configurable: true, get: () => (new Error().stack.includes('sendFile') ? told : 1_000) });
        File.prototype.stream = () => {
          let left = 100;
          return new ReadableStream({ pull: (out) => (left-- > 0 ? out.enqueue(new Uint8Array(1_000_000)) : out.close()) });
        };
      }, told);
    for (const [told, words, most] of [[1_000, 'The file did not arrive whole.', 2_000_000], [100_000_000, 'This file is too large.', 27_000_000]]) {
      await bomb(told);
      await bo.page.evaluate(() => (window.inflated = 0));
      await send(ada, 'zeros.bin', Buffer.from('x'));
      await panel(bo).getByRole('article').last().getByText(words).waitFor({ timeout: 30_000 });
      await bo.page.waitForTimeout(5_000);
      const inflated = await bo.page.evaluate(() => window.inflated);
      assert.ok(inflated > 0 && inflated <= most, `${inflated} bytes were unpacked`);
    }
    for (const person of [ada, bo]) person.wrongs.splice(0, person.wrongs.length, ...person.wrongs.filter((wrong) => !/payload|decompress|stream/i.test(wrong)));
  });
});
