// SPDX-License-Identifier: EUPL-1.2
// Chromium pairs in each codec, both signalling forms, layers, and what the transports came to.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { assertBars, assertTone, eventually } from '../support/check.mjs';
import { HERTZ, SMALL, Stage } from '../support/call.mjs';
import { shows } from '../support/shows.mjs';

let stage;
before(async () => (stage = await Stage.open()));
after(() => stage?.close());
afterEach(() => stage.clear());

const pair = async (options = {}, kind = 'chromium') => {
  const room = stage.room();
  return [await stage.join(kind, room, 'sender', options), await stage.join(kind, room, 'receiver', options)];
};
const inbound = async (caller, kind) => (await caller.ask('stats')).inbound.find((each) => each.kind === kind);

describe('codecs between two Chromium pages', () => {
  for (const [codec, mime, mode] of [['vp9', 'video/VP9', 'L3T3_KEY'], ['av1', 'video/AV1', 'L1T3'], ['h264', 'video/H264'], ['vp8', 'video/VP8']]) {
    it(`${codec}${mode ? ` ${mode}` : ''} arrives with its colours`, async () => {
      const [sender, receiver] = await pair();
      await sender.ask('publishBars', { width: 640, height: 360, fps: 10, videoCodec: codec, simulcast: false, backupCodec: false, ...(mode ? { scalabilityMode: mode } : {}) });
      assertBars(await receiver.ask('seen', { identity: 'sender' }), codec);
      assert.equal((await inbound(receiver, 'video')).codec, mime);
    });
  }

  // getStats names the codec within. A RED packet carries the frame before as well: twice the bytes (121 and 247 when
  // this was written, at 48 kbit/s in packets of 20 ms).
  for (const [name, red, fits] of [['RED', true, (bytes) => bytes > 180], ['plain Opus', false, (bytes) => bytes < 160]]) {
    it(`audio as ${name} arrives with its tone`, async () => {
      const [sender, receiver] = await pair();
      await sender.ask('publishTone', { hertz: HERTZ, red });
      assertTone(await receiver.ask('heard', { identity: 'sender' }), HERTZ, name);
      const { bytes, received } = await eventually('a second of sound', async () => {
        const stats = await inbound(receiver, 'audio');
        return stats.received > 50 && stats;
      });
      assert.ok(fits(bytes / received), `${name}: ${bytes / received} bytes in a packet`);
    });
  }
});

describe('both signalling forms', () => {
  for (const [form, single] of [['/rtc/v1, one connection', true], ['/rtc, two connections', false]]) {
    it(`${form}: sees and hears, and what was said arrives`, shows({ chromium: ['publish', 'subscribe', 'data'] }, async () => {
      const options = { options: { singlePeerConnection: single } };
      const [sender, receiver] = await pair(options);
      await sender.ask('publishBars', { ...SMALL, videoCodec: 'vp8', simulcast: false });
      await sender.ask('publishTone', { hertz: HERTZ });
      assertBars(await receiver.ask('seen', { identity: 'sender' }), form);
      assertTone(await receiver.ask('heard', { identity: 'sender' }), HERTZ, form);
      await receiver.ask('say', { text: 'good morning' });
      await sender.ask('untilData', { from: 'receiver', text: 'good morning' });
      const connected = (await receiver.ask('stats')).transports.length;
      assert.equal(connected, single ? 1 : 2);
    }));
  }
});

describe('transports', () => {
  for (const kind of ['chromium', 'firefox']) {
    it(`${kind} ends with DTLS 1.3 and AEAD_AES_128_GCM, and the server with X25519MLKEM768`, async () => {
      const [sender, receiver] = await pair({}, kind);
      await sender.ask('publishTone', { hertz: HERTZ });
      await receiver.ask('heard', { identity: 'sender' });
      for (const transport of (await receiver.ask('stats')).transports) {
        assert.match(transport.srtp, /AEAD_AES_128_GCM$/);
        assert.equal(transport.dtls, 'FEFC');
      }
      const lines = stage.server.log.filter((line) => line.includes('group=0x11ec'));
      assert.ok(lines.length >= 2, `the server saw no X25519MLKEM768:\n${stage.server.log.join('\n')}`);
      stage.server.log.length = 0;
    });
  }
});

describe('layers', () => {
  it('simulcast: the resolution follows the layer that the receiver asks for', shows({ chromium: ['simulcast', 'layers'] }, async () => {
    const [sender, receiver] = await pair();
    await sender.ask('publishBars', { width: 1280, height: 720, fps: 10, videoCodec: 'vp8', simulcast: true });
    for (const [quality, width] of [[0, 320], [1, 640], [2, 1280], [0, 320]]) {
      await receiver.ask('setQuality', { identity: 'sender', quality });
      await eventually(`${width} pixels for quality ${quality}`, async () => (await receiver.ask('seen', { identity: 'sender' })).width === width, 30000);
      assertBars(await receiver.ask('seen', { identity: 'sender' }), `quality ${quality}`);
    }
  }));

  it('SVC: the resolution follows the layer that the receiver asks for', shows({ chromium: ['svc', 'layers'] }, async () => {
    const [sender, receiver] = await pair();
    await sender.ask('publishBars', { width: 1280, height: 720, fps: 10, videoCodec: 'vp9', scalabilityMode: 'L3T3_KEY', backupCodec: false });
    for (const [quality, width] of [[0, 320], [2, 1280], [1, 640]]) {
      await receiver.ask('setQuality', { identity: 'sender', quality });
      await eventually(`${width} pixels for quality ${quality}`, async () => (await receiver.ask('seen', { identity: 'sender' })).width === width, 30000);
      assertBars(await receiver.ask('seen', { identity: 'sender' }), `quality ${quality}`);
    }
  }));
});
