// SPDX-License-Identifier: EUPL-1.2
// What happens to a call when something breaks: sockets, networks, clients, the server's own end.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { openChromium } from '../support/browsers.mjs';
import { assertBars, assertTone, eventually } from '../support/check.mjs';
import { HERTZ, SMALL, Stage } from '../support/call.mjs';
import { Server, token } from '../support/server.mjs';

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
    it(`${form}: resumes in under a second, and nothing is published again`, async () => {
      const room = stage.room();
      const options = { options: { singlePeerConnection } };
      const one = await stage.join('chromium', room, 'one', options);
      const other = await stage.join('chromium', room, 'other', options);
      await publish(one);
      const before = await other.ask('seen', { identity: 'one' });
      assertBars(before, 'before');
      const tracks = (await other.ask('state')).participants[0].tracks.map((track) => track.sid).sort();
      const at = await one.ask('dropSocket');
      const resumed = await one.ask('untilEvent', { name: 'Reconnected', after: at });
      assert.ok(resumed.at - at < 1000, `resumed after ${Math.round(resumed.at - at)} ms`);
      const state = await other.ask('state');
      assert.deepEqual(state.participants[0].tracks.map((track) => track.sid).sort(), tracks, 'the same tracks');
      assert.equal((await other.ask('events')).filter((event) => event.name === 'ParticipantDisconnected').length, 0);
      const shown = await other.ask('frames', { identity: 'one' });
      await eventually('more pictures', async () => (await other.ask('frames', { identity: 'one' })) > shown + 5);
      await one.ask('say', { text: 'still here' });
      await other.ask('untilData', { from: 'one', text: 'still here' });
    });
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

  it('attributes and mute reach the others', async () => {
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
  });
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

describe('the end of the server', () => {
  it('SIGTERM tells the clients, refuses joins, and ends when the last has left', async () => {
    const server = await Server.start();
    try {
      const room = stage.room();
      const [one] = [await stage.join('chromium', stage.room(), 'elsewhere')];
      await one.ask('leave');
      await one.ask('connect', { url: server.ws, token: token(room, 'one') });
      server.signal('SIGTERM');
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
