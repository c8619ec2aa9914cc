// SPDX-License-Identifier: EUPL-1.2
// Publishers send what somebody looks at, in a codec that everyone can take. All clients are Chromium pages.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { assertBars, eventually } from '../support/check.mjs';
import { Stage } from '../support/call.mjs';
import { shows } from '../support/shows.mjs';

let stage;
before(async () => (stage = await Stage.open()));
after(() => stage?.close());
afterEach(() => stage.clear());

const HD = { width: 1280, height: 720, fps: 10 };
const [LOW, HIGH] = [0, 2];
const dynacast = { options: { dynacast: true } };

/** Which of the sender's encodings are on, by RID; one without has the codec's name. */
const active = async (sender) => {
  const video = (await sender.ask('stats')).outbound.filter((each) => each.kind === 'video');
  return video.filter((each) => each.active).map((each) => each.rid ?? each.codec).sort().join(' ');
};
const inbound = async (receiver) => (await receiver.ask('stats')).inbound.find((each) => each.kind === 'video');

describe('adaptation: dynacast', () => {
  for (const [form, singlePeerConnection] of [['/rtc/v1', true], ['/rtc', false]]) {
    it(`${form}: layers that nobody looks at stop, and are back within two seconds`, async () => {
      const room = stage.room();
      const sender = await stage.join('chromium', room, 'sender', { options: { dynacast: true, singlePeerConnection } });
      const receiver = await stage.join('chromium', room, 'receiver', { options: { singlePeerConnection } });
      await sender.ask('publishBars', { ...HD, videoCodec: 'vp8', simulcast: true });
      assertBars(await receiver.ask('seen', { identity: 'sender' }), form);
      await receiver.ask('setQuality', { identity: 'sender', quality: LOW });
      await eventually('only the low layer to be sent', async () => (await active(sender)) === 'q', 30000);
      assert.equal((await receiver.ask('seen', { identity: 'sender' })).width, 320);

      const asked = Date.now();
      await receiver.ask('setQuality', { identity: 'sender', quality: HIGH });
      await eventually('all layers to be sent again', async () => (await active(sender)) === 'f h q', 2000);
      await eventually('the large picture', async () => (await receiver.ask('seen', { identity: 'sender' })).width === 1280, 15000);
      console.log(`${form}: the large picture was back after ${Date.now() - asked} ms`);
      assertBars(await receiver.ask('seen', { identity: 'sender' }), form);
    });
  }

  it('a track that everyone hides is not sent, and comes back', async () => {
    const room = stage.room();
    const sender = await stage.join('chromium', room, 'sender', dynacast);
    const receivers = [await stage.join('chromium', room, 'one'), await stage.join('chromium', room, 'two')];
    await sender.ask('publishBars', { ...HD, videoCodec: 'vp8', simulcast: true });
    for (const receiver of receivers) assertBars(await receiver.ask('seen', { identity: 'sender' }), 'shown');
    await receivers[0].ask('setEnabled', { identity: 'sender', enabled: false });
    // The other's picture goes on.
    await receivers[1].ask('seen', { identity: 'sender', atLeast: 70 });
    assert.equal(await active(sender), 'f h q');
    await receivers[1].ask('setEnabled', { identity: 'sender', enabled: false });
    await eventually('nothing to be sent', async () => (await active(sender)) === '', 30000);
    const before = await inbound(receivers[0]);
    await receivers[0].ask('setEnabled', { identity: 'sender', enabled: true });
    await eventually('all layers to be sent again', async () => (await active(sender)) === 'f h q', 2000);
    assertBars(await receivers[0].ask('seen', { identity: 'sender' }), 'shown again');
    assert.ok((await inbound(receivers[0])).decoded > before.decoded);
  });
});

describe('adaptation: a subscriber that cannot take VP9', () => {
  const withoutVp9 = { withoutCodec: 'video/VP9' };
  const vp9 = { ...HD, width: 640, height: 360, videoCodec: 'vp9', scalabilityMode: 'L3T3_KEY', backupCodec: true };

  for (const [form, singlePeerConnection] of [['/rtc/v1', true], ['/rtc', false]]) {
    it(`${form}: gets the publisher's VP8, which is sent for as long as it is there`, shows({ chromium: ['backup-codec'] }, async () => {
      const room = stage.room();
      const sender = await stage.join('chromium', room, 'sender', { options: { dynacast: true, singlePeerConnection } });
      const able = await stage.join('chromium', room, 'able', { options: { singlePeerConnection } });
      await sender.ask('publishBars', { ...vp9, backupCodecPolicy: 1 });
      assertBars(await able.ask('seen', { identity: 'sender' }), 'able');
      const sent = async () => [...new Set((await sender.ask('stats')).outbound.filter((each) => each.kind === 'video' && each.active).map((each) => each.codec))].sort();
      assert.deepEqual(await sent(), ['video/VP9'], 'no backup before somebody needs it');

      const unable = await stage.join('chromium', room, 'unable', { ...withoutVp9, options: { singlePeerConnection } });
      assertBars(await unable.ask('seen', { identity: 'sender' }), 'unable');
      assert.equal((await inbound(unable)).codec, 'video/VP8');
      assert.equal((await inbound(able)).codec, 'video/VP9', 'who can take the first codec keeps it');
      assert.deepEqual(await sent(), ['video/VP8', 'video/VP9']);
      await unable.ask('leave');
      await eventually('the backup to rest', async () => (await sent()).join() === 'video/VP9', 30000);
    }));
  }

  it('brings everyone to VP8 where the track prefers one codec', shows({ chromium: ['backup-codec'] }, async () => {
    const room = stage.room();
    const sender = await stage.join('chromium', room, 'sender', dynacast);
    const able = await stage.join('chromium', room, 'able');
    await sender.ask('publishBars', { ...vp9, backupCodecPolicy: 0 });
    assertBars(await able.ask('seen', { identity: 'sender' }), 'able, before');
    const unable = await stage.join('chromium', room, 'unable', withoutVp9);
    assertBars(await unable.ask('seen', { identity: 'sender' }), 'unable');
    await eventually('everyone to get VP8', async () => (await inbound(able)).codec === 'video/VP8');
    assertBars(await able.ask('seen', { identity: 'sender', atLeast: 5 }), 'able, after');
  }));
});
