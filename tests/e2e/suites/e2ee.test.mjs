// SPDX-License-Identifier: EUPL-1.2
// Encrypted meetings in the client that people open: the key is in the link, nobody else can see or hear, and nothing gives way.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { SMALL, Stage } from '../support/call.mjs';
import { assertBars, assertTone, eventually } from '../support/check.mjs';
import { playInChromium, playInFirefox } from '../support/plays.mjs';
import { Visitors, button } from '../support/visitors.mjs';

let stage;
let visitors;
const firefoxes = [];
before(async () => {
  stage = await Stage.open();
  visitors = await Visitors.of(stage.server, '--autoplay-policy=no-user-gesture-required');
});
after(async () => {
  await visitors?.close();
  await stage?.close();
});
afterEach(async () => {
  for (const each of firefoxes.splice(0)) await each.close();
  await stage.clear();
  // The library says in the console that a frame could not be decrypted: that is what these tests are about.
  for (const { wrongs } of visitors.open) {
    for (const each of wrongs.splice(0)) if (!/^console (InvalidKey|MissingKey): /.test(each)) wrongs.push(each);
  }
  await visitors.leave();
});

const newKey = () => randomBytes(32).toString('base64url');
/** A room with a key of its own, as its link says: nothing else makes it encrypted. */
function encryptedRoom() {
  const room = randomBytes(16).toString('hex');
  const key = newKey();
  return { room, key, path: `/r/${room}#k=${key}` };
}
const ADA = 440;
const BO = 660;
const codeOf = (page) => page.evaluate(() => [...document.querySelectorAll('dialog[open] .code li')].map((word) => word.textContent));
const press = (page, name) => page.evaluate((name) => [...document.querySelectorAll('button')].find((each) => each.textContent.includes(name)).click(), name);

describe('Chromium and Firefox in an encrypted meeting', () => {
  it('see and hear each other, and show the same words; the key is in nothing that leaves', async () => {
    const { path, key } = encryptedRoom();
    const sent = [];
    const ada = await playInChromium(visitors, path, 'Ada', ADA, async ({ page }) => {
      page.on('request', (request) => sent.push(`${request.url()} ${JSON.stringify(request.headers())} ${request.postData() ?? ''}`));
      page.on('websocket', (socket) => {
        sent.push(socket.url());
        socket.on('framesent', ({ payload }) => sent.push(payload.toString('latin1')));
      });
    });
    const bo = await playInFirefox(stage.server, path, 'Bo', BO);
    firefoxes.push(bo);

    assertBars(await ada.ask('seen', { name: 'Bo' }), 'Ada');
    assertBars(await bo.ask('seen', { name: 'Ada' }), 'Bo');
    assertTone(await ada.ask('heard', { near: BO }), BO, 'Ada');
    assertTone(await bo.ask('heard', { near: ADA }), ADA, 'Bo');

    for (const { page } of [ada, bo]) await press(page, 'Encrypted');
    const [hers, his] = [await eventually('her words', async () => (await codeOf(ada.page)).length && codeOf(ada.page)), await eventually('his words', async () => (await codeOf(bo.page)).length && codeOf(bo.page))];
    assert.equal(hers.length, 8);
    assert.deepEqual(hers, his);

    const raw = Buffer.from(key, 'base64url');
    const forms = [key, raw.toString('hex'), raw.toString('base64'), raw.toString('latin1')];
    assert.ok(sent.length > 10, `${sent.length} requests and frames were looked at`);
    for (const each of sent) for (const form of forms) assert.ok(!each.includes(form), `the key left the browser: ${each.slice(0, 200)}`);
    const kept = await ada.page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, document.title]));
    assert.ok(!kept.includes(key), 'the key is kept in the browser');
  });
});

describe('whoever has another key', () => {
  it('row 57: sees and hears nothing, and both sides are told', async () => {
    const { path, room } = encryptedRoom();
    const ada = await playInChromium(visitors, path, 'Ada', ADA);
    const eve = await playInChromium(visitors, `/r/${room}#k=${newKey()}`, 'Eve', BO);
    await eve.page.getByText('What Ada sends cannot be decrypted').waitFor({ timeout: 20_000 });
    await ada.page.getByText('What Eve sends cannot be decrypted').waitFor({ timeout: 20_000 });
    await button(eve, 'Not everything can be decrypted').waitFor();
    await assert.rejects(eve.ask('seen', { name: 'Ada', milliseconds: 4_000 }), /waited|no picture/);
    await assert.rejects(eve.ask('heard', { near: ADA, milliseconds: 3_000 }), /nothing near/);
  });
});

describe('whoever has no key at all', () => {
  it('is sent nothing that plays: what the server forwards is neither VP8 nor Opus', async () => {
    const { path, room } = encryptedRoom();
    const ada = await playInChromium(visitors, path, 'Ada', ADA);
    const identity = await ada.page.locator('li[data-identity]').first().getAttribute('data-identity');
    const eve = await stage.join('rtc-node', room, 'eve');
    // The track is there, and not one picture comes out of it.
    await assert.rejects(eve.ask('seen', { identity, milliseconds: 6_000 }), /nothing in 6000 ms/);
    // A decoder of sound makes noise of anything: it must not be her tone.
    const heard = await eve.ask('heard', { identity, milliseconds: 6_000 }).catch(() => undefined);
    assert.ok(heard === undefined || Math.abs(heard.hertz - ADA) > 12, JSON.stringify(heard));
  });

  it('row 57: is neither seen nor heard when sending in clear, and that is said', async () => {
    const { path, room } = encryptedRoom();
    const ada = await playInChromium(visitors, path, 'Ada', ADA);
    const eve = await stage.join('rtc-node', room, 'eve');
    await eve.ask('publishBars', SMALL);
    await eve.ask('publishTone', { hertz: BO });
    await ada.page.getByText('What eve sends cannot be decrypted').waitFor({ timeout: 20_000 });
    await assert.rejects(ada.ask('heard', { near: BO, milliseconds: 3_000 }), /nothing near/);
    await assert.rejects(ada.ask('seen', { name: 'eve', milliseconds: 3_000 }), /waited|no picture/);
  });
});

describe('whoever can’t come in', () => {
  const asked = ({ page }) => {
    const joins = [];
    page.on('request', (request) => /\/join$/.test(request.url()) && joins.push(request.url()));
    return joins;
  };

  it('row 58: a browser that can’t encrypt is told so before it joins', async () => {
    const { path } = encryptedRoom();
    const bo = await visitors.someone('/');
    const joins = asked(bo);
    await bo.page.addInitScript(() => {
      delete window.RTCRtpScriptTransform;
      delete RTCRtpSender.prototype.createEncodedStreams;
    });
    await bo.page.goto(stage.server.url + path);
    await bo.page.getByRole('heading', { name: 'This browser cannot join an encrypted meeting' }).waitFor();
    assert.equal(await bo.page.locator('#name').count(), 0);
    assert.deepEqual(joins, []);
  });

  it('a link that lost part of its key says so', async () => {
    const { path } = encryptedRoom();
    const bo = await visitors.someone(path.slice(0, -4));
    await bo.page.getByRole('heading', { name: 'The link is damaged' }).waitFor();
  });

  it('row 58: a link without the key of a room that was made encrypted says so', async () => {
    const made = await fetch(`${stage.server.url}/api/rooms`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ e2ee: true, policy: { lobby: false } }) });
    const { room } = await made.json();
    const bo = await visitors.someone(`/r/${room}`);
    const joins = asked(bo);
    await bo.page.getByRole('heading', { name: 'The link is incomplete' }).waitFor();
    assert.deepEqual(joins, []);
  });
});
