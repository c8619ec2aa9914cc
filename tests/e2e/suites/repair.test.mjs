// SPDX-License-Identifier: EUPL-1.2
// Repair packets (FlexFEC) with a Chromium at either end. Every Chromium takes them where it receives; it offers to send
// them only when told to by its field trials, and then does so over a path that is long and loses packets.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { assertBars, eventually } from '../support/check.mjs';
import { Stage } from '../support/call.mjs';
import { Server } from '../support/server.mjs';

const SENDS_FLEXFEC = '--force-fieldtrials=WebRTC-FlexFEC-03-Advertised/Enabled/WebRTC-FlexFEC-03/Enabled/';
const PICTURES = { width: 640, height: 360, fps: 15, videoCodec: 'vp8', simulcast: false };
/** No loss and no round trip are too little. */
const ALWAYS = '[media]\naddresses = ["127.0.0.1"]\nfec_loss_percent = 0\nfec_twice_loss_percent = 0\nfec_round_trip_ms = 0\n';

let stage;
before(async () => (stage = await Stage.over(await Server.configured(ALWAYS))));
after(() => stage?.close());
afterEach(() => stage.clear());

const pictures = async (caller) => (await caller.ask('stats')).inbound.find((each) => each.kind === 'video');

/** A counter of the server's media, over all shards. */
const counted = (name) => stage.server.figure(`parvis_media_${name}_total`);

for (const [form, singlePeerConnection] of [['/rtc/v1', true], ['/rtc', false]]) {
  it(`${form}: an ordinary Chromium takes repair packets as a receiver`, async () => {
    const options = { options: { singlePeerConnection } };
    const room = stage.room();
    const sender = await stage.join('chromium', room, 'sender', options);
    const { caller: receiver, network } = await stage.joinThroughNetwork(room, 'receiver', options);
    await sender.ask('publishBars', PICTURES);
    assertBars(await receiver.ask('seen', { identity: 'sender' }), form);
    const before = await eventually('repair packets', async () => {
      const stats = await pictures(receiver);
      return stats.fec > 5 && stats;
    });
    assert.ok(before.fecBytes > before.fec * 20, JSON.stringify(before));
    await eventually('the count of them', async () => (await counted('fec_sent_packets')) >= before.fec);
    // Over a path that loses packets the pictures go on, and their colours are right.
    network.impair({ delay: 60, loss: 0.08 });
    await eventually('losses', async () => (await pictures(receiver)).fec > before.fec + 20);
    assertBars(await receiver.ask('seen', { identity: 'sender', atLeast: 10 }), `${form}, with losses`);
  });
}

describe('repair packets', () => {
  it('a Chromium that is told to sends repair packets, and what it lost is made again from them', async () => {
    const room = stage.room();
    const { caller: sender, network } = await stage.joinThroughNetwork(room, 'sender', {}, [SENDS_FLEXFEC]);
    const receiver = await stage.join('chromium', room, 'receiver');
    await sender.ask('publishBars', PICTURES);
    assertBars(await receiver.ask('seen', { identity: 'sender' }), 'without loss');
    const malformed = await counted('fec_malformed');
    network.impair({ delay: 120, loss: 0.1 });
    await eventually('repair packets from Chromium', async () => (await counted('fec_received')) > 10, 40000);
    await eventually('packets made again', async () => (await counted('fec_recovered')) > 5, 40000);
    assert.equal(await counted('fec_malformed'), malformed, 'all of them could be read and used');
    assertBars(await receiver.ask('seen', { identity: 'sender', atLeast: 10 }), 'with losses');
  });
});
