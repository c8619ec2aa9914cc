// SPDX-License-Identifier: EUPL-1.2
// End-to-end encryption with the SDKs' own means: what one encrypts the other decrypts, and who has not the key sees nothing.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { assertBars, assertTone } from '../support/check.mjs';
import { HERTZ, SMALL, Stage } from '../support/call.mjs';
import { shows } from '../support/shows.mjs';

let stage;
before(async () => (stage = await Stage.open()));
after(() => stage?.close());
afterEach(() => stage.clear());

const passphrase = 'correct horse battery staple';

for (const [from, to] of [['chromium', 'chromium'], ['python', 'chromium'], ['chromium', 'python'], ['rtc-node', 'python']]) {
  describe(`${from} to ${to}`, () => {
    it('pictures, sound and data are decrypted at the other side', shows({ [from]: ['e2ee-media', 'e2ee-data'], [to]: ['e2ee-media', 'e2ee-data'] }, async () => {
      const room = stage.room();
      const sender = await stage.join(from, room, 'sender', { passphrase });
      const receiver = await stage.join(to, room, 'receiver', { passphrase });
      await sender.ask('publishBars', from === 'chromium' ? { ...SMALL, videoCodec: 'vp8', simulcast: false } : SMALL);
      await sender.ask('publishTone', { hertz: HERTZ });
      assertBars(await receiver.ask('seen', { identity: 'sender', atLeast: 5 }), to);
      assertTone(await receiver.ask('heard', { identity: 'sender' }), HERTZ, to);
      await sender.ask('say', { text: 'for your eyes only' });
      await receiver.ask('untilData', { from: 'sender', text: 'for your eyes only' });
    }));
  });
}

describe('one without the key', () => {
  it('sees nothing, hears nothing and reads nothing', shows({ chromium: ['e2ee-media', 'e2ee-data'] }, async () => {
    const room = stage.room();
    const sender = await stage.join('chromium', room, 'sender', { passphrase });
    const stranger = await stage.join('chromium', room, 'stranger', { passphrase: 'another one' });
    await sender.ask('publishBars', { ...SMALL, videoCodec: 'vp8', simulcast: false });
    await sender.ask('publishTone', { hertz: HERTZ });
    await sender.ask('say', { text: 'secret' });
    await assert.rejects(stranger.ask('seen', { identity: 'sender', milliseconds: 5000 }), /waited/);
    await assert.rejects(stranger.ask('heard', { identity: 'sender', milliseconds: 3000 }), /waited/);
    assert.deepEqual((await stranger.ask('data')).filter(({ text }) => text.includes('secret')), []);
  }));
});
