// SPDX-License-Identifier: EUPL-1.2
// What applications send besides pictures and sound, between every kind of client that can: streams, calls, data tracks.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { assertBars, eventually } from '../support/check.mjs';
import { SMALL, Stage } from '../support/call.mjs';
import { shows } from '../support/shows.mjs';

const KINDS = ['chromium', 'python', 'rtc-node'];
let stage;
before(async () => (stage = await Stage.open()));
after(() => stage?.close());
afterEach(() => stage.clear());

describe('calls of methods', () => {
  it('every kind calls every other', shows({ chromium: ['rpc'], python: ['rpc'], 'rtc-node': ['rpc'] }, async () => {
    const room = stage.room();
    const callers = [];
    for (const kind of KINDS) callers.push(await stage.join(kind, room, kind));
    for (const from of callers) {
      for (const to of callers.filter((each) => each !== from)) {
        assert.equal(await from.ask('callMethod', { identity: to.identity, payload: '21' }), '42', `${from.kind} to ${to.kind}`);
      }
    }
    await assert.rejects(callers[0].ask('callMethod', { identity: 'nobody', payload: '1' }), /1401|not found|timeout/i);
    await assert.rejects(callers[0].ask('callMethod', { identity: 'python', payload: '1', method: 'no such' }), /not supported|1400/i);
  }));
});

describe('streams', () => {
  it('text and bytes of a few chunks arrive between every kind, whole and in order', async () => {
    const room = stage.room();
    const callers = [];
    for (const kind of KINDS) callers.push(await stage.join(kind, room, kind));
    for (const from of callers) {
      for (const [send, length] of [['sendText', 40_000], ['sendBytes', 100_000]]) {
        const sha256 = await from.ask(send, { length });
        for (const to of callers.filter((each) => each !== from)) {
          await to.ask('untilStream', { from: from.identity, sha256 });
        }
      }
    }
  });

  it('50 MB reach a slow reader whole; others, and what others say, are as quick as ever', { timeout: 300_000 }, shows({ chromium: ['bytes'] }, async () => {
    const room = stage.room();
    const { caller: slow, network } = await stage.joinThroughNetwork(room, 'slow');
    const sender = await stage.join('chromium', room, 'sender');
    const [talker, listener] = [await stage.join('chromium', room, 'talker'), await stage.join('rtc-node', room, 'listener')];
    await talker.ask('publishBars', { ...SMALL, videoCodec: 'vp8', simulcast: false });
    network.impair({ rate: 2_500_000, delay: 10 });
    const started = Date.now();
    const sending = sender.ask('sendBytes', { length: 50_000_000, to: ['slow'] });
    let said = 0;
    let slowest = 0;
    const ended = sending.then(() => true);
    while (!(await Promise.race([ended, new Promise((done) => setTimeout(() => done(false), 500))]))) {
      const at = Date.now();
      const text = `still quick ${said++}`;
      await talker.ask('say', { text });
      await listener.ask('untilData', { from: 'talker', text });
      slowest = Math.max(slowest, Date.now() - at);
    }
    const stream = await slow.ask('untilStream', { from: 'sender', sha256: await sending, milliseconds: 120_000 });
    assert.equal(stream.bytes, 50_000_000);
    assert.ok(Date.now() - started > 15_000, 'the reader was slow');
    assert.ok(said > 10 && slowest < 2000, `${said} messages, the slowest took ${slowest} ms`);
    assert.deepEqual((await slow.ask('events')).filter(({ name }) => /econnect/.test(name)), [], 'nobody started over');
    assertBars(await listener.ask('seen', { identity: 'talker' }), 'meanwhile');
  }));
});

describe('data tracks', () => {
  for (const [from, to] of [['chromium', 'chromium'], ['python', 'python'], ['chromium', 'python'], ['python', 'chromium']]) {
    it(`frames of ${from}'s reach ${to}`, shows({ [from]: ['data-tracks'], [to]: ['data-tracks'] }, async () => {
      const room = stage.room();
      const publisher = await stage.join(from, room, 'publisher');
      const subscriber = await stage.join(to, room, 'subscriber');
      const bystander = await stage.join('chromium', room, 'bystander');
      await publisher.ask('publishDataTrack', { name: 'first' });
      await publisher.ask('publishDataTrack', { name: 'second' });
      await subscriber.ask('subscribeDataTrack', { identity: 'publisher', name: 'second' });
      // Until the subscription is there frames go by.
      await new Promise((done) => setTimeout(done, 500));
      await publisher.ask('pushFrames', { name: 'first', count: 5 });
      // A frame of this size has three packets. What its sender's SDK drops by itself never comes to the server; the rest
      // reaches the other side.
      const packets = () => stage.server.figure('parvis_signal_total', { what: 'track_packets' });
      await eventually('the first track', async () => (await packets()) > 0);
      const before = await packets();
      await publisher.ask('pushFrames', { name: 'second', count: 20, size: 40_000, gap: 100 });
      await new Promise((done) => setTimeout(done, 500));
      const came = ((await packets()) - before) / 3;
      assert.ok(Number.isInteger(came) && came >= 10, `${came} of 20 frames came to the server`);
      const frames = await subscriber.ask('untilFrames', { name: 'second', count: came });
      assert.equal(frames.length, came);
      for (const frame of frames) {
        assert.equal(frame.size, 40_000);
        assert.equal(frame.sha256, await bystander.ask('frameDigest', { number: frame.number, size: 40_000 }));
      }
      await publisher.ask('unpublishDataTrack', { name: 'first' });
      await eventually('the bystander to hear that it ended', async () => {
        const names = await bystander.ask('dataTracksOf', { identity: 'publisher' });
        return names.length === 1 && names[0] === 'second';
      });
    }));
  }

  it('a name that is taken is refused by name, and a participant without the right publishes none', async () => {
    const room = stage.room();
    const one = await stage.join('chromium', room, 'one');
    await one.ask('publishDataTrack', { name: 'pose' });
    await assert.rejects(one.ask('publishDataTrack', { name: 'pose' }), /already taken/);
    const mute = await stage.join('chromium', room, 'mute', {}, { canPublishData: false });
    await assert.rejects(mute.ask('publishDataTrack', { name: 'pose' }), /unauthorized/);
  });

  it('a full reconnect publishes and subscribes again', async () => {
    const room = stage.room();
    const [one, other] = [await stage.join('chromium', room, 'one'), await stage.join('chromium', room, 'other')];
    await one.ask('publishDataTrack', { name: 'pose' });
    await other.ask('subscribeDataTrack', { identity: 'one', name: 'pose' });
    await new Promise((done) => setTimeout(done, 500));
    const at = await one.ask('simulate', { scenario: 'full-reconnect' });
    await one.ask('untilEvent', { name: 'Reconnected', after: at });
    await other.ask('untilEvent', { name: 'DataTrackPublished', detail: 'one pose' });
    await other.ask('subscribeDataTrack', { identity: 'one', name: 'pose' });
    await new Promise((done) => setTimeout(done, 1000));
    await one.ask('pushFrames', { name: 'pose', count: 5 });
    await other.ask('untilFrames', { name: 'pose', count: 3 });
  });
});

describe('words beside the media', () => {
  it('transcriptions, chat, metadata and attributes reach the others', shows({ chromium: ['transcribed', 'metadata', 'attributes'], python: ['transcribe', 'metadata', 'attributes'] }, async () => {
    const room = stage.room();
    const rights = { canUpdateOwnMetadata: true };
    const python = await stage.join('python', room, 'python', {}, rights);
    const [one, other] = [await stage.join('chromium', room, 'one', {}, rights), await stage.join('chromium', room, 'other')];
    const trackSid = await python.ask('publishTone');
    await other.ask('heard', { identity: 'python' });
    await python.ask('transcribe', { text: 'hello, world', trackSid });
    await other.ask('untilSaid', { kind: 'transcriptions', from: 'python', text: 'hello, world' });
    await one.ask('chat', { text: 'good morning' });
    await other.ask('untilSaid', { kind: 'chat', from: 'one', text: 'good morning' });
    await python.ask('setMetadata', { metadata: '{"seat":7}' });
    await other.ask('untilEvent', { name: 'ParticipantMetadataChanged' });
    await python.ask('setAttributes', { hand: 'up' });
    await eventually('the attribute', async () => (await other.ask('state')).participants.some((each) => each.attributes.hand === 'up'));
  }));
});

describe('whom a publisher lets have its tracks', () => {
  it('one who is left out sees nothing, until it is let in', shows({ chromium: ['permit', 'permitted'] }, async () => {
    const room = stage.room();
    const [one, friend, other] = [await stage.join('chromium', room, 'one'), await stage.join('chromium', room, 'friend'), await stage.join('chromium', room, 'other')];
    await one.ask('allow', { all: false, identities: ['friend'] });
    await one.ask('publishBars', { ...SMALL, videoCodec: 'vp8', simulcast: false });
    assertBars(await friend.ask('seen', { identity: 'one' }), 'friend');
    await assert.rejects(other.ask('seen', { identity: 'one', milliseconds: 4000 }), /waited/);
    await one.ask('allow', { all: true });
    assertBars(await other.ask('seen', { identity: 'one' }), 'other');
    const at = await other.ask('now');
    await one.ask('allow', { all: false, identities: ['friend'] });
    await other.ask('untilEvent', { name: 'PermissionChanged', after: at });
    assertBars(await friend.ask('seen', { identity: 'one', atLeast: 5 }), 'friend, still');
  }));
});
