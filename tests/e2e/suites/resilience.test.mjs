// SPDX-License-Identifier: EUPL-1.2
// What happens to a call when something breaks: sockets, networks, clients, the server's own end.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { openChromium } from '../support/browsers.mjs';
import { assertBars, assertTone, eventually } from '../support/check.mjs';
import { HERTZ, SMALL, Stage } from '../support/call.mjs';
import { Network } from '../support/network.mjs';
import { Server, token } from '../support/server.mjs';
import { shows } from '../support/shows.mjs';

let stage;
before(async () => (stage = await Stage.open()));
after(() => stage?.close());
afterEach(() => stage.clear());

const publish = async (caller) => {
  await caller.ask('publishBars', { ...SMALL, videoCodec: 'vp8', simulcast: false });
  await caller.ask('publishTone', { hertz: HERTZ });
};

describe('a dropped socket', () => {
  for (const [form, singlePeerConnection] of [['/rtc/v1', true], ['/rtc', false]]) {
    it(`${form}: resumes in under a second, and nothing is published again`, shows({ chromium: ['resume'] }, async () => {
      const room = stage.room();
      const options = { options: { singlePeerConnection } };
      const one = await stage.join('chromium', room, 'one', options);
      const other = await stage.join('chromium', room, 'other', options);
      await publish(one);
      const before = await other.ask('seen', { identity: 'one' });
      assertBars(before, 'before');
      const tracks = (await other.ask('state')).participants[0].tracks.map((track) => track.sid).sort();
      const at = await one.ask('dropSocket');
      const resumed = await one.ask('untilEvent', { name: 'SignalResumed', after: at });
      assert.ok(resumed.at - at < 1000, `resumed after ${Math.round(resumed.at - at)} ms`);
      // livekit-client waits two seconds more before it looks at its connections and says so.
      const reconnected = await one.ask('untilEvent', { name: 'Reconnected', after: at });
      assert.ok(reconnected.at - resumed.at < 3000, `and ${Math.round(reconnected.at - resumed.at)} ms more`);
      const state = await other.ask('state');
      assert.deepEqual(state.participants[0].tracks.map((track) => track.sid).sort(), tracks, 'the same tracks');
      assert.equal((await other.ask('events')).filter((event) => event.name === 'ParticipantDisconnected').length, 0);
      const shown = await other.ask('frames', { identity: 'one' });
      await eventually('more pictures', async () => (await other.ask('frames', { identity: 'one' })) > shown + 5);
      await one.ask('say', { text: 'still here' });
      await other.ask('untilData', { from: 'one', text: 'still here' });
    }));
  }
});

describe('identities', () => {
  it('a second join with an identity ends the first, which is told why', async () => {
    const room = stage.room();
    const first = await stage.join('chromium', room, 'same');
    const watcher = await stage.join('chromium', room, 'watcher');
    await stage.join('chromium', room, 'same');
    const ended = await first.ask('untilEvent', { name: 'Disconnected' });
    assert.equal(ended.detail, '2', 'DisconnectReason.DUPLICATE_IDENTITY');
    await eventually('one participant by that name', async () => {
      const { participants } = await watcher.ask('state');
      return participants.length === 1 && participants[0].identity === 'same';
    });
  });

  it('attributes and mute reach the others', shows({ chromium: ['attributes'] }, async () => {
    const room = stage.room();
    const one = await stage.join('chromium', room, 'one', {}, { canUpdateOwnMetadata: true });
    const other = await stage.join('chromium', room, 'other');
    await publish(one);
    await other.ask('heard', { identity: 'one' });
    await one.ask('setAttributes', { hand: 'up' });
    await eventually('the attribute', async () => (await other.ask('state')).participants[0].attributes.hand === 'up');
    await one.ask('setMuted', { source: 'microphone', muted: true });
    await other.ask('untilEvent', { name: 'TrackMuted' });
    await one.ask('setMuted', { source: 'microphone', muted: false });
    await other.ask('untilEvent', { name: 'TrackUnmuted' });
    assertTone(await other.ask('heard', { identity: 'one' }), HERTZ, 'after unmuting');
  }));
});

describe('networks', () => {
  it('with UDP blocked the call runs over ICE-TCP', async () => {
    const room = stage.room();
    const one = await stage.join('chromium', room, 'one');
    const blocked = await openChromium(stage.page.url, '--force-webrtc-ip-handling-policy=disable_non_proxied_udp', '--webrtc-ip-handling-policy=disable_non_proxied_udp');
    stage.callers.push(blocked);
    await stage.connect(blocked, room, 'blocked');
    await publish(one);
    await publish(blocked);
    assertBars(await blocked.ask('seen', { identity: 'one' }), 'over TCP');
    assertBars(await one.ask('seen', { identity: 'blocked' }), 'from TCP');
    for (const pair of (await blocked.ask('stats')).pairs) assert.equal(pair.protocol, 'tcp');
  });
});

describe('a network that comes and goes', () => {
  /** Two who see and hear each other, the first of them through a network that can be broken. */
  async function two() {
    const room = stage.room();
    const { caller: one, network } = await stage.joinThroughNetwork(room, 'one');
    const other = await stage.join('chromium', room, 'other');
    await Promise.all([publish(one), publish(other)]);
    for (const [who, whom] of [[one, 'other'], [other, 'one']]) {
      assertBars(await who.ask('seen', { identity: whom }), whom);
      assertTone(await who.ask('heard', { identity: whom }), HERTZ, whom);
    }
    const tracks = await tracksOf(other);
    return { one, other, network, tracks };
  }
  const tracksOf = async (caller) => (await caller.ask('state')).participants[0].tracks.map((track) => track.sid).sort();

  async function flowsBothWays(one, other) {
    for (const [who, whom] of [[one, 'other'], [other, 'one']]) {
      assertBars(await who.ask('seen', { identity: whom, atLeast: 5 }), whom);
      assertTone(await who.ask('heard', { identity: whom }), HERTZ, whom);
    }
  }

  it('a changed client address goes on with no new handshake', shows({ chromium: ['migration'] }, async () => {
    const { one, other, network, tracks } = await two();
    const handshakes = () => stage.server.log.filter((line) => line.includes('group=')).length;
    const before = handshakes();
    assert.ok(before > 0, 'the server tells of handshakes');
    assert.ok((await network.rebind()) > 0, 'media went through the network');
    await flowsBothWays(one, other);
    assert.equal(handshakes(), before);
    assert.deepEqual(await tracksOf(other), tracks);
    assert.deepEqual((await one.ask('events')).filter(({ name }) => /econnect/.test(name)), []);
  }));

  for (const [how, reset] of [['stalls', false], ['resets every connection', true]]) {
    it(`lost for five seconds (it ${how}): the call is back without pressing anything`, async () => {
      const { one, other, network, tracks } = await two();
      network.down({ reset });
      const shown = await one.ask('frames', { identity: 'other' });
      await new Promise((done) => setTimeout(done, 5000));
      assert.ok((await one.ask('frames', { identity: 'other' })) - shown < 10, 'the network was lost');
      network.restore();
      await flowsBothWays(one, other);
      await eventually('connected', async () => (await one.ask('state')).connected);
      assert.deepEqual(await tracksOf(other), tracks, 'nothing was published again');
      const gone = (await other.ask('events')).filter(({ name }) => name === 'ParticipantDisconnected');
      assert.deepEqual(gone, []);
      await one.ask('say', { text: 'back' });
      await other.ask('untilData', { from: 'one', text: 'back' });
    });
  }
});

describe('a WebSocket that is cut for ten seconds', () => {
  const CUT = 10_000;
  let network;
  beforeEach(async () => (network = await Network.to(stage.server.url)));
  afterEach(() => network.close());

  const isPage = ({ kind }) => kind === 'chromium';
  /** Of what an SDK has told its application: by livekit-client's names, or by Python's. */
  const told = async (caller) => (isPage(caller) ? (await caller.ask('events')).map(({ name }) => name) : caller.ask('log'));

  // Python's SDK starts over, and loses its media, when it is refused: for it signalling stalls instead.
  for (const [kind, reset] of [['chromium', true], ['python', false]]) {
    it(`${kind}: pictures, sound and messages go on meanwhile, and nobody sees it leave`, shows(reset ? { [kind]: ['resume'] } : {}, async () => {
      const room = stage.room();
      // Signalling alone goes this way: clients learn of the server's own addresses for media.
      const one = await stage.join(kind, room, 'one', { url: network.ws });
      const other = await stage.join('chromium', room, 'other');
      const own = isPage(one) ? { videoCodec: 'vp8', simulcast: false } : {};
      await one.ask('publishBars', { ...SMALL, ...own });
      await one.ask('publishTone', { hertz: HERTZ });
      await publish(other);
      const flows = async (when) => {
        for (const [who, whom] of [[one, 'other'], [other, 'one']]) {
          assertBars(await who.ask('seen', { identity: whom, atLeast: 5 }), `${whom}, ${when}`);
          assertTone(await who.ask('heard', { identity: whom }), HERTZ, `${whom}, ${when}`);
        }
      };
      const present = async (caller) => (await caller.ask('state')).participants
        .filter(({ identity }) => identity !== 'late')
        .map(({ identity, sid, tracks }) => [identity, sid, ...tracks.map((track) => track.sid).sort()]);
      // The first message may have to wait for what it goes by.
      for (const each of [one, other]) await each.ask('say', { text: 'hello' });
      await flows('before');
      const before = [await present(one), await present(other)];

      const began = performance.now();
      network.down({ reset });
      const texts = Array.from({ length: 20 }, (_, count) => `message ${count}`);
      for (const text of texts) await other.ask('say', { text });
      if (reset) await eventually('that it noticed', async () => (await told(one)).some((name) => /^(Signal)?Reconnecting$/i.test(name)));
      await flows('meanwhile');
      await stage.join('rtc-node', room, 'late');
      assert.ok(performance.now() - began < CUT, 'all of that within the cut');
      await new Promise((done) => setTimeout(done, CUT - (performance.now() - began)));
      assert.ok(!(await told(one)).some((name) => /^reconnected$/i.test(name)), 'it was cut all the time');
      const knowsLate = async () => (await one.ask('state')).participants.some(({ identity }) => identity === 'late');
      assert.ok(!(await knowsLate()), 'nothing was told meanwhile');
      network.restore();

      if (reset) await eventually('that it is back', async () => (await told(one)).some((name) => /^reconnected$/i.test(name)), 30_000);
      await eventually('whoever came meanwhile', knowsLate);
      await one.ask('say', { text: 'back' });
      await other.ask('untilData', { from: 'one', text: 'back' });
      await other.ask('say', { text: 'the last' });
      await one.ask('untilData', { from: 'other', text: 'the last' });
      assert.deepEqual(await one.ask('textsOf', { identity: 'other' }), ['hello', ...texts, 'the last'], 'each once, in order');
      await flows('after');
      assert.deepEqual([await present(one), await present(other)], before, 'the same participants and tracks');
      assert.ok(!(await told(other)).includes('ParticipantDisconnected'));
    }));
  }
});

describe('starting over', () => {
  for (const [form, singlePeerConnection] of [['/rtc/v1', true], ['/rtc', false]]) {
    it(`${form}: a full reconnect publishes again, and the others see and hear it`, shows({ chromium: ['full-reconnect'] }, async () => {
      const room = stage.room();
      const options = { options: { singlePeerConnection } };
      const one = await stage.join('chromium', room, 'one', options);
      const other = await stage.join('chromium', room, 'other', options);
      await Promise.all([publish(one), publish(other)]);
      assertBars(await other.ask('seen', { identity: 'one' }), 'before');
      const at = await one.ask('simulate', { scenario: 'full-reconnect' });
      await one.ask('untilEvent', { name: 'Reconnected', after: at });
      for (const [who, whom] of [[one, 'other'], [other, 'one']]) {
        assertBars(await who.ask('seen', { identity: whom, atLeast: 5 }), `after, ${whom}`);
        assertTone(await who.ask('heard', { identity: whom }), HERTZ, `after, ${whom}`);
      }
      assert.equal((await other.ask('state')).participants.length, 1);
    }));
  }
});

describe('the end of the server', () => {
  it('SIGTERM tells the clients to come again, refuses joins, and ends when the last has left', async () => {
    const server = await Server.start();
    try {
      const room = stage.room();
      const one = await stage.join('chromium', stage.room(), 'elsewhere');
      await one.ask('leave');
      await one.ask('connect', { url: server.ws, token: token(room, 'one') });
      const at = await one.ask('now');
      server.signal('SIGTERM');
      // A leave that asks for a full reconnect: a dropped socket alone would be SignalReconnecting.
      await one.ask('untilEvent', { name: 'Reconnecting', after: at });
      assert.deepEqual((await one.ask('events')).filter((event) => event.at > at && event.name === 'SignalReconnecting'), []);
      await eventually('readiness to end', async () => (await fetch(`${server.url}/readyz`).catch(() => ({ status: 0 }))).status !== 200);
      const refused = await fetch(`${server.url}/rtc/validate?access_token=${token(room, 'late')}`).catch(() => ({ status: 0 }));
      assert.notEqual(refused.status, 200);
      await one.ask('leave');
      const end = await Promise.race([server.exited, new Promise((done) => setTimeout(() => done('still there'), 15000))]);
      assert.deepEqual(end, { code: 0, signal: null });
    } finally {
      await server.stop();
    }
  });
});
