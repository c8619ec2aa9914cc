// SPDX-License-Identifier: EUPL-1.2
// Trouble that clients ask for, to see that they get over it: a lost server, a migration, TCP only, a slow network.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { assertBars, assertTone, eventually } from '../support/check.mjs';
import { HERTZ, SMALL, Stage } from '../support/call.mjs';
import { Server, token } from '../support/server.mjs';
import { shows } from '../support/shows.mjs';

const FORMS = [['/rtc/v1', true], ['/rtc', false]];
let stage;
before(async () => (stage = await Stage.open()));
after(() => stage?.close());
afterEach(() => stage.clear());

async function two(singlePeerConnection) {
  const room = stage.room();
  const options = { options: { singlePeerConnection } };
  const [one, other] = [await stage.join('chromium', room, 'one', options), await stage.join('chromium', room, 'other', options)];
  for (const each of [one, other]) {
    await each.ask('publishBars', { ...SMALL, videoCodec: 'vp8', simulcast: false });
    await each.ask('publishTone', { hertz: HERTZ });
  }
  await flows(one, other);
  return { one, other };
}

async function flows(one, other) {
  for (const [who, whom] of [[one, 'other'], [other, 'one']]) {
    assertBars(await who.ask('seen', { identity: whom, atLeast: 5 }), whom);
    assertTone(await who.ask('heard', { identity: whom }), HERTZ, whom);
  }
}

const sids = async (caller) => (await caller.ask('state')).participants[0].tracks.map((track) => track.sid).sort();

for (const [form, single] of FORMS) {
  describe(`${form}: livekit-client`, () => {
    it('resumes after a migration with the same tracks', async () => {
      const { one, other } = await two(single);
      const before = await sids(other);
      const at = await one.ask('simulate', { scenario: 'migration' });
      await one.ask('untilEvent', { name: 'Reconnected', after: at });
      await flows(one, other);
      assert.deepEqual(await sids(other), before);
    });

    for (const scenario of ['disconnect-signal-on-resume', 'disconnect-signal-on-resume-no-messages']) {
      it(`gets over ${scenario} and keeps its tracks`, async () => {
        const { one, other } = await two(single);
        const before = await sids(other);
        const at = await one.ask('simulate', { scenario });
        await one.ask('untilEvent', { name: 'Reconnected', after: at, milliseconds: 40_000 });
        await flows(one, other);
        assert.deepEqual(await sids(other), before);
      });
    }

    for (const scenario of ['node-failure', 'leave-full-reconnect']) {
      it(`starts over after ${scenario}`, async () => {
        const { one, other } = await two(single);
        const before = await sids(other);
        const at = await one.ask('simulate', { scenario });
        await one.ask('untilEvent', { name: 'Reconnected', after: at, milliseconds: 40_000 });
        await flows(one, other);
        assert.notDeepEqual(await sids(other), before, 'it published again');
      });
    }

    it('goes over TCP when it asks for it', async () => {
      const { one, other } = await two(single);
      const at = await one.ask('simulate', { scenario: 'force-tcp' });
      await one.ask('untilEvent', { name: 'Reconnected', after: at, milliseconds: 40_000 });
      await flows(one, other);
      const { pairs } = await one.ask('stats');
      assert.ok(pairs.length > 0);
      for (const pair of pairs) assert.equal(pair.protocol, 'tcp');
    });

    it('is told of a speaker, and to leave', async () => {
      const { one, other } = await two(single);
      await one.ask('simulate', { scenario: 'speaker' });
      await other.ask('untilEvent', { name: 'ActiveSpeakersChanged', detail: 'one' });
      await one.ask('simulate', { scenario: 'server-leave' });
      await one.ask('untilEvent', { name: 'Disconnected' });
      await eventually('the other to hear of it', async () => (await other.ask('state')).participants.length === 0);
    });
  });
}

describe('a slow network on request', () => {
  it('brings the smaller layer, and the larger one when it is over', async () => {
    const room = stage.room();
    const [one, other] = [await stage.join('chromium', room, 'one'), await stage.join('chromium', room, 'other')];
    await one.ask('publishBars', { width: 640, height: 360, fps: 15, videoCodec: 'vp8', simulcast: true });
    const width = async () => (await other.ask('seen', { identity: 'one' })).width;
    await eventually('the large picture', async () => (await width()) === 640, 30_000);
    await other.ask('simulate', { scenario: 'subscriber-bandwidth', argument: 40_000 });
    await eventually('the small picture', async () => (await width()) < 640, 30_000);
    await other.ask('simulate', { scenario: 'subscriber-bandwidth', argument: 0 });
    await eventually('the large picture again', async () => (await width()) === 640, 40_000);
  });
});

describe('a server where people meet', () => {
  it('does nothing of the kind', async () => {
    const server = await Server.configured('');
    try {
      const room = stage.room();
      const one = await stage.join('chromium', stage.room(), 'elsewhere');
      await one.ask('leave');
      await one.ask('connect', { url: server.ws, token: token(room, 'one', {}, 'one', server.key) });
      const at = await one.ask('simulate', { scenario: 'leave-full-reconnect' });
      await one.ask('simulate', { scenario: 'server-leave' });
      await new Promise((done) => setTimeout(done, 1500));
      assert.ok((await one.ask('state')).connected);
      assert.deepEqual((await one.ask('events')).filter((event) => event.at > at && /econnect|Disconn/.test(event.name)), []);
    } finally {
      await server.stop();
    }
  });
});

describe('the Node SDK', () => {
  // Of its own numbering: signal reconnect, speaker, node failure, server leave, migration, …
  for (const [name, scenario, features] of [['a dropped socket', 0, ['resume']], ['a lost server', 2, []], ['a migration', 4, []]]) {
    it(`gets over ${name}`, shows({ 'rtc-node': features }, async () => {
      const room = stage.room();
      const [node, other] = [await stage.join('rtc-node', room, 'node'), await stage.join('chromium', room, 'other')];
      await node.ask('publishBars', SMALL);
      assertBars(await other.ask('seen', { identity: 'node', atLeast: 5 }), 'before');
      await node.ask('simulate', { scenario });
      await eventually('Reconnected', async () => (await node.ask('log')).includes('Reconnected'), 40_000);
      assertBars(await other.ask('seen', { identity: 'node', atLeast: 5 }), 'after');
    }));
  }
});
