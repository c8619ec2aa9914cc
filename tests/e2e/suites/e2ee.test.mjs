// SPDX-License-Identifier: EUPL-1.2
// Encrypted meetings in the client that people open: the key is in the link, nobody else can see or hear, and nothing gives way.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join as place } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { SMALL, Stage } from '../support/call.mjs';
import { assertBars, assertTone, eventually } from '../support/check.mjs';
import { playInChromium, playInFirefox } from '../support/plays.mjs';
import { Visitors, button, join } from '../support/visitors.mjs';

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

describe('what people say besides', () => {
  const panel = ({ page }) => page.getByRole('complementary');
  async function openFromList(person, entry) {
    await button(person, 'More').last().click();
    await person.page.getByRole('dialog').getByRole('button', { name: entry, exact: true }).click();
    await panel(person).getByRole('heading', { name: entry, level: 2 }).waitFor();
  }

  /** Ada makes an encrypted meeting and is in it. All that goes through her sockets is noted. */
  async function adasMeeting() {
    const wire = [];
    const ada = await visitors.someone();
    ada.page.on('websocket', (socket) => {
      for (const event of ['framesent', 'framereceived']) socket.on(event, ({ payload }) => wire.push(payload.toString()));
    });
    await button(ada, 'New meeting').click();
    const dialog = ada.page.getByRole('dialog', { name: 'New meeting' });
    await dialog.getByLabel('End-to-end encryption').check();
    await dialog.getByRole('button', { name: 'Create the meeting' }).click();
    await ada.page.waitForURL(/\/r\/[\w-]{20,}#k=/);
    const { pathname, hash } = new URL(ada.page.url());
    await join(ada, 'Ada');
    return { ada, path: pathname + hash, wire };
  }

  /** Nothing of it was on the wire, is in a file of the server's or in its log; but what was sealed was there. */
  function nowhere(wire, secrets) {
    assert.ok(wire.some((frame) => /"e1\.[\w-]{40,}/.test(frame)), 'something sealed went by');
    const { data, log } = stage.server;
    const files = readdirSync(data, { recursive: true }).map((file) => place(data, file)).filter((file) => statSync(file).isFile());
    assert.ok(files.length > 0, 'the server keeps something');
    const read = [...wire, ...log, ...files.map((file) => readFileSync(file).toString('latin1'))];
    for (const secret of secrets) {
      for (const form of [secret, Buffer.from(secret).toString('latin1'), Buffer.from(secret).toString('base64url').slice(0, -2), JSON.stringify(secret).slice(1, -1)]) {
        assert.ok(!read.some((text) => text.includes(form)), `${secret} is where only numbers are to be`);
      }
    }
  }

  it('polls: Chromium and Firefox vote and see the result, and the server has neither question nor answers', async () => {
    const { ada, path, wire } = await adasMeeting();
    const bo = await playInFirefox(stage.server, path, 'Bo', BO);
    firefoxes.push(bo);
    const [question, whole, keep] = ['Shall the orchard be sold?', 'Sell the whole of it', 'Keep the pear trees'];
    await openFromList(ada, 'Polls');
    await panel(ada).getByRole('button', { name: 'New poll' }).click();
    await panel(ada).getByLabel('Question').fill(question);
    await panel(ada).getByLabel('Answer 1', { exact: true }).fill(whole);
    await panel(ada).getByLabel('Answer 2', { exact: true }).fill(keep);
    await panel(ada).getByRole('button', { name: 'Start the poll' }).click();
    const own = panel(ada).getByRole('article', { name: question });
    await own.getByLabel(keep).check();
    await own.getByRole('button', { name: 'Vote' }).click();

    /** Presses the last one of that name, as soon as it is there. */
    const pressWhenThere = async (name) => {
      const find = (name) => [...document.querySelectorAll('button, label')].filter((each) => (each.ariaLabel ?? each.textContent).trim() === name && each.offsetParent !== null).at(-1);
      await bo.page.waitForFunction(find, { timeout: 20_000 }, name);
      await bo.page.evaluate(`(${find})(${JSON.stringify(name)}).click()`);
    };
    for (const name of ['More options', 'Polls', whole, 'Vote']) await pressWhenThere(name);
    await own.getByText('2 people have voted so far.').waitFor({ timeout: 20_000 });
    await own.getByRole('button', { name: 'Close the poll' }).click();
    await own.getByText('Closed. 2 people voted.').waitFor();
    const results = async (texts) => (await texts).map((text) => text.replaceAll(/\s+/g, ' ').trim());
    const expected = [`${whole} 1 vote, 50% Bo`, `${keep} 1 vote, 50% Ada`];
    assert.deepEqual(await results(own.getByRole('listitem').allInnerTexts()), expected);
    await bo.page.waitForFunction(() => document.querySelectorAll('aside article ol li').length === 2, { timeout: 20_000 });
    assert.deepEqual(await results(bo.page.evaluate(() => [...document.querySelectorAll('aside article ol li')].map((item) => item.innerText))), expected);
    assert.match(await bo.page.evaluate(() => document.querySelector('aside article h3').textContent), /Shall the orchard be sold\?/);
    assert.ok(wire.some((frame) => /"options":\["1","2"\]/.test(frame)), 'what is counted are numbers');
    nowhere(wire, [question, whole, keep]);
  });

  it('a broadcast to somebody on the way to a breakout room, and a reaction from there', async () => {
    const { ada, path, wire } = await adasMeeting();
    const bo = await join(await visitors.someone(path), 'Bo');
    // His picture is there: whoever is sent on while the library still negotiates leaves it waiting for an answer.
    await ada.page.getByRole('list', { name: 'People in the meeting' }).getByRole('listitem').filter({ hasText: 'Bo' }).locator('video').waitFor({ timeout: 30_000 });
    await openFromList(ada, 'Breakout rooms');
    await panel(ada).getByLabel('Bo', { exact: true }).selectOption('Room 2');
    await panel(ada).getByRole('button', { name: 'Open the rooms' }).click();
    await panel(ada).getByLabel('Message to all rooms').fill('The mayor has resigned');
    await panel(ada).getByRole('button', { name: 'Send to all rooms' }).click();
    const broadcast = bo.page.locator('.notice').getByText('Ada to all rooms: The mayor has resigned');
    await bo.page.locator('.notice').getByText('You are now in Room 2.').waitFor({ timeout: 20_000 });
    await broadcast.waitFor({ timeout: 20_000 });
    assert.equal(await broadcast.count(), 1, 'it is shown once');
    await button(bo, 'Send a reaction').click();
    await bo.page.getByRole('toolbar', { name: 'Send a reaction' }).getByRole('button', { name: 'Applause' }).click();
    await ada.page.getByRole('img', { name: '👏 from Bo' }).waitFor();
    nowhere(wire, ['The mayor has resigned', '👏']);
    bo.wrongs.splice(0, bo.wrongs.length, ...bo.wrongs.filter((wrong) => !/^console publisher data channel '.*' closed unexpectedly/.test(wrong)));
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
