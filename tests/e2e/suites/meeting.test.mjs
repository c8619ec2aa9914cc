// SPDX-License-Identifier: EUPL-1.2
// How a meeting is conducted, held against clients that know nothing of it: what a moderator decides is done to what the server forwards.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { assertTone, eventually } from '../support/check.mjs';
import { HERTZ, Stage } from '../support/call.mjs';
import { Meeting, ask, make } from '../support/meeting.mjs';

let stage;
before(async () => (stage = await Stage.open()));
after(() => stage?.close());
afterEach(() => stage.clear());

/** Nothing of the tone arrives any more: half a second after the last word, since what is under way still comes. */
async function assertSilent(caller, identity, when) {
  await new Promise((done) => setTimeout(done, 500));
  const heard = await caller.ask('heard', { identity, milliseconds: 3000 }).catch((error) => error);
  assert.ok(heard instanceof Error, `${when}: ${JSON.stringify(heard)} is heard`);
}

describe('a moderator and clients of the Node SDK', () => {
  it('mutes, forbids and removes one of them, and it is so for whoever listens', async () => {
    const { room, host_key } = await make(stage.server, { title: 'Council' });
    const ticket = await ask(stage.server, `/api/rooms/${room}/join`, { name: 'Ada', host_key });
    assert.equal(ticket.status, 200, JSON.stringify(ticket));
    const ada = await stage.join('chromium', room, 'unused', { token: ticket.token });
    const meeting = await Meeting.enter(stage.server, room, ticket.token);
    assert.equal(meeting.state.you.role, 'owner');

    // Bo and Cem have tokens of an application, and no socket of the meeting.
    const bo = await stage.join('rtc-node', room, 'bo');
    const cem = await stage.join('rtc-node', room, 'cem');
    await bo.ask('publishTone', { hertz: HERTZ });
    assertTone(await cem.ask('heard', { identity: 'bo' }), HERTZ, 'Cem');
    assertTone(await ada.ask('heard', { identity: 'bo' }), HERTZ, 'Ada');

    await meeting.done({ do: 'mute', identity: 'bo', source: 'microphone' });
    await assertSilent(cem, 'bo', 'muted');

    await meeting.done({ do: 'rights.set', identity: 'bo', rights: { microphone: false } });
    await eventually('the track to be gone', async () => {
      const { participants } = await ada.ask('state');
      return participants.find(({ identity }) => identity === 'bo')?.tracks.length === 0;
    });
    await assert.rejects(bo.ask('publishTone', { hertz: HERTZ }), 'whom a moderator forbade to speak');

    const began = Date.now();
    await meeting.done({ do: 'remove', identity: 'bo', ban: true });
    await eventually('Bo to hear of it', async () => (await bo.ask('log')).includes('Disconnected'));
    assert.ok(Date.now() - began < 2000, `it took ${Date.now() - began} ms`);
    await assert.rejects(stage.join('rtc-node', room, 'bo'), 'whoever is banned, with a token of an application');
    assert.deepEqual(meeting.state.members.banned.map(({ name }) => name), ['bo']);
    // Nobody else is disturbed.
    await cem.ask('publishTone', { hertz: HERTZ * 2 });
    assertTone(await ada.ask('heard', { identity: 'cem' }), HERTZ * 2, 'Ada');
    meeting.close();
  });
});
