// SPDX-License-Identifier: EUPL-1.2
// Participants that an application's server sends to another room, and calls of their methods by the server.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { assertBars, assertTone, eventually } from '../support/check.mjs';
import { HERTZ, SMALL, Stage } from '../support/call.mjs';
import { token } from '../support/server.mjs';
import { shows } from '../support/shows.mjs';

let stage;
before(async () => (stage = await Stage.open()));
after(() => stage?.close());
afterEach(() => stage.clear());

/** Calls the room service as an application's server. */
async function call(method, body) {
  const response = await fetch(`${stage.server.url}/twirp/livekit.RoomService/${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token(body.room, 'server', { roomAdmin: true, roomCreate: true, destinationRoom: body.destinationRoom })}` },
    body: JSON.stringify(body),
  });
  return { status: response.status, ...(await response.json()) };
}

for (const [kind, options] of [['chromium', { options: { singlePeerConnection: true } }], ['chromium', { options: { singlePeerConnection: false } }], ['python', {}]]) {
  const form = options.options?.singlePeerConnection === false ? '/rtc' : '/rtc/v1';
  describe(`${kind} over ${form}`, () => {
    it('ends in the other room with its tracks published, and is told so', shows({ [kind]: ['moved', 'moved-tracks'] }, async () => {
      const [from, to] = [stage.room(), stage.room()];
      const stays = await stage.join('chromium', from, 'stays');
      const waits = await stage.join('chromium', to, 'waits');
      const goes = await stage.join(kind, from, 'goes', options);
      await goes.ask('publishBars', kind === 'chromium' ? { ...SMALL, videoCodec: 'vp8', simulcast: false } : SMALL);
      await goes.ask('publishTone', { hertz: HERTZ });
      await waits.ask('publishTone', { hertz: HERTZ });
      assertBars(await stays.ask('seen', { identity: 'goes' }), 'before');

      const moved = await call('MoveParticipant', { room: from, identity: 'goes', destinationRoom: to });
      assert.equal(moved.status, 200, JSON.stringify(moved));
      assertBars(await waits.ask('seen', { identity: 'goes', atLeast: 5 }), 'in the other room');
      assertTone(await waits.ask('heard', { identity: 'goes' }), HERTZ, 'in the other room');
      assertTone(await goes.ask('heard', { identity: 'waits' }), HERTZ, 'and back');
      await eventually('those who stay to see it gone', async () => (await stays.ask('state')).participants.length === 0);
      assert.equal(await goes.ask('roomName'), to);
      if (kind === 'chromium') {
        await goes.ask('untilEvent', { name: 'Moved', detail: to });
      } else {
        await eventually('the event', async () => (await goes.ask('log')).some((name) => /moved/i.test(name)));
      }
      // What livekit-client is given while it connects anew it keeps for a resume, which never comes: it is said again.
      await eventually('a message from there', async () => {
        await goes.ask('say', { text: 'here I am' });
        await new Promise((done) => setTimeout(done, 500));
        return (await waits.ask('data')).some(({ from, text }) => from === 'goes' && text === 'here I am');
      });
    }));
  });
}

describe('rtc-node', () => {
  // That its tracks come along is shown by the suite of features, where it may try more than once.
  it('ends in the other room', shows({ 'rtc-node': ['moved'] }, async () => {
    const [from, to] = [stage.room(), stage.room()];
    const waits = await stage.join('chromium', to, 'waits');
    await stage.join('rtc-node', from, 'goes');
    const moved = await call('MoveParticipant', { room: from, identity: 'goes', destinationRoom: to });
    assert.equal(moved.status, 200, JSON.stringify(moved));
    await eventually('it to come', async () => (await waits.ask('state')).participants.some((each) => each.identity === 'goes'));
  }));
});

describe('a move that can not be', () => {
  it('is refused in words and changes nothing', async () => {
    const room = stage.room();
    const one = await stage.join('chromium', room, 'one');
    const other = stage.room();
    for (const [body, status, text] of [
      [{ room, identity: 'nobody', destinationRoom: other }, 404, /nobody with the identity/],
      [{ room: stage.room(), identity: 'one', destinationRoom: other }, 404, /no room/],
      [{ room, identity: 'one', destinationRoom: room }, 400, /that room already/],
      [{ room, identity: 'one', destinationRoom: '' }, 401, /permissions denied/],
    ]) {
      const refused = await call('MoveParticipant', body);
      assert.equal(refused.status, status, JSON.stringify(refused));
      assert.match(refused.msg, text);
    }
    assert.ok((await one.ask('state')).connected);
  });
});

describe('forwarded to another room', () => {
  for (const kind of ['chromium', 'python']) {
    it(`${kind}'s pictures and sound are there as well, until it leaves`, async () => {
      const [from, to] = [stage.room(), stage.room()];
      const near = await stage.join('chromium', from, 'near');
      const far = await stage.join('chromium', to, 'far');
      const one = await stage.join(kind, from, 'one');
      await one.ask('publishBars', kind === 'chromium' ? { ...SMALL, videoCodec: 'vp8', simulcast: false } : SMALL);
      const forwarded = await call('ForwardParticipant', { room: from, identity: 'one', destinationRoom: to });
      assert.equal(forwarded.status, 200, JSON.stringify(forwarded));
      assertBars(await far.ask('seen', { identity: 'one', atLeast: 5 }), 'elsewhere');
      assertBars(await near.ask('seen', { identity: 'one', atLeast: 5 }), 'at home');
      // What it publishes later is there as well.
      await one.ask('publishTone', { hertz: HERTZ });
      assertTone(await far.ask('heard', { identity: 'one' }), HERTZ, 'elsewhere');
      assertTone(await near.ask('heard', { identity: 'one' }), HERTZ, 'at home');
      const again = await call('ForwardParticipant', { room: from, identity: 'one', destinationRoom: to });
      assert.equal(again.status, 409, JSON.stringify(again));
      assert.deepEqual((await near.ask('state')).participants.map((each) => each.identity), ['one'], 'nobody comes back by it');
      await one.ask('leave');
      await eventually('it to be gone elsewhere', async () => (await far.ask('state')).participants.length === 0);
    });
  }
});

describe('the server calls', () => {
  for (const kind of ['chromium', 'python', 'rtc-node']) {
    it(`a method of ${kind}'s`, async () => {
      const room = stage.room();
      await stage.join(kind, room, 'one');
      const answer = await call('PerformRpc', { room, destinationIdentity: 'one', method: 'double', payload: '21' });
      assert.equal(answer.payload, '42', JSON.stringify(answer));
      const refused = await call('PerformRpc', { room, destinationIdentity: 'one', method: 'no such', payload: '' });
      assert.equal(refused.status, 412, JSON.stringify(refused));
      const nobody = await call('PerformRpc', { room, destinationIdentity: 'nobody', method: 'double', payload: '' });
      assert.equal(nobody.status, 404, JSON.stringify(nobody));
    });
  }
});
