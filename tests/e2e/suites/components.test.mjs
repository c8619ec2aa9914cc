// SPDX-License-Identifier: EUPL-1.2
// The published components for React: a conference as its makers bring it, used by its buttons, with livekit-client beside it.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { node } from '../support/applications.mjs';
import { open, servePage } from '../support/browsers.mjs';
import { HERTZ, SMALL, Stage } from '../support/call.mjs';
import { assertBars, assertTone, eventually } from '../support/check.mjs';
import { shows } from '../support/shows.mjs';

let stage, page;
before(async () => {
  stage = await Stage.open();
  page = await servePage('page/components.jsx');
});
after(async () => {
  page?.close();
  await stage?.close();
});
afterEach(() => stage.clear());

/** Somebody in a conference of the components, with a tone of their own. */
async function someone(room, name, tone = HERTZ) {
  const caller = await open('chromium', page.url);
  stage.callers.push(caller);
  await stage.connect(caller, room, name, { tone });
  return caller;
}

const press = (caller, name) => caller.page.getByRole('button', { name, exact: true }).click();
const names = async (caller) => (await caller.ask('shown')).map(({ name }) => name).sort();
const muted = async (caller, name) => (await caller.ask('shown')).find((each) => each.name === name)?.muted;
const large = async (caller) => (await caller.ask('shown')).find((each) => each.large)?.name;
const untilShown = (caller, wanted) => eventually(`${caller.identity} to show ${wanted}`, async () => String(await names(caller)) === String(wanted));
const sees = async (caller, name) => assertBars(await caller.ask('seen', { name }), `${caller.identity} of ${name}`);
const hears = async (caller, hertz) => assertTone(await caller.ask('heard', { near: hertz }), hertz, caller.identity);

async function write(caller, text) {
  await caller.page.getByPlaceholder('Enter a message...').fill(text);
  await press(caller, 'Send');
}

describe('a conference of the components for React', () => {
  it('two see and hear each other; one mutes, stops its camera, comes back and leaves', shows({ react: ['join', 'media', 'mute', 'leave'] }, async () => {
    const room = stage.room();
    const ada = await someone(room, 'ada');
    const bob = await someone(room, 'bob', 2 * HERTZ);
    for (const caller of [ada, bob]) await untilShown(caller, ['ada', 'bob']);
    await sees(ada, 'bob');
    await sees(bob, 'ada');
    await hears(ada, 2 * HERTZ);
    await hears(bob, HERTZ);
    assert.equal(await muted(bob, 'ada'), false);
    await press(ada, 'Microphone');
    await eventually('ada to be shown as muted', () => muted(bob, 'ada'));
    await assert.rejects(bob.ask('heard', { near: HERTZ, milliseconds: 2000 }), /waited/);
    await press(ada, 'Microphone');
    await eventually('ada to be shown as speaking again', async () => (await muted(bob, 'ada')) === false);
    await hears(bob, HERTZ);
    await press(ada, 'Camera');
    await assert.rejects(bob.ask('seen', { name: 'ada', milliseconds: 2000 }), /waited/);
    await press(ada, 'Camera');
    await sees(bob, 'ada');
    await press(ada, 'Leave');
    await untilShown(bob, ['bob']);
    await eventually('ada to be told', async () => (await ada.ask('events')).some(({ name, detail }) => name === 'Disconnected' && detail === 'CLIENT_INITIATED'));
    for (const caller of [ada, bob]) assert.deepEqual((await caller.ask('events')).filter(({ name }) => /Error|Failure/.test(name)), []);
  }));

  it('what one writes the other reads, once, in its order', shows({ react: ['chat'] }, async () => {
    const room = stage.room();
    const ada = await someone(room, 'ada');
    const bob = await someone(room, 'bob');
    for (const caller of [ada, bob]) await press(caller, 'Chat');
    for (const caller of [ada, bob]) await untilShown(caller, ['ada', 'bob']);
    await write(ada, 'Good morning, Grüße, 😀');
    const read = (caller, count) => eventually(`${count} messages for ${caller.identity}`, async () => {
      const messages = await caller.ask('messages');
      return messages.length >= count && messages;
    });
    await read(bob, 1);
    await write(bob, 'See https://example.org/agenda');
    for (const caller of [ada, bob]) {
      assert.deepEqual(await read(caller, 2), [
        { from: 'ada', own: caller === ada, text: 'Good morning, Grüße, 😀' },
        { from: 'bob', own: caller === bob, text: 'See https://example.org/agenda' },
      ]);
    }
  }));

  it('a shared screen is shown beside who shares it, and goes again', shows({ react: ['screen'] }, async () => {
    const room = stage.room();
    const ada = await someone(room, 'ada');
    const bob = await someone(room, 'bob');
    await untilShown(bob, ['ada', 'bob']);
    await press(ada, 'Share screen');
    await untilShown(bob, ['ada', "ada's screen", 'bob']);
    // Whatever becomes larger or smaller has another element from then on.
    await eventually('the screen to be larger', async () => (await large(bob)) === "ada's screen");
    await sees(bob, "ada's screen");
    await press(ada, 'Stop screen share');
    await untilShown(bob, ['ada', 'bob']);
    await eventually('all to be of one size', async () => (await large(bob)) === undefined);
    await sees(bob, 'ada');
  }));

  it('livekit-client beside it sees and is seen; a moderator mutes and removes', shows({ react: ['join', 'media', 'moderated'], chromium: ['publish', 'subscribe'] }, async () => {
    const room = stage.room();
    const ada = await someone(room, 'ada', 2 * HERTZ);
    const plain = await stage.join('chromium', room, 'plain');
    await plain.ask('publishBars', { ...SMALL, videoCodec: 'vp8' });
    const trackSid = await plain.ask('publishTone', { hertz: HERTZ });
    await sees(ada, 'plain');
    await hears(ada, HERTZ);
    assertBars(await plain.ask('seen', { identity: 'ada' }), 'plain');
    assertTone(await plain.ask('heard', { identity: 'ada' }), 2 * HERTZ, 'plain');
    const { rooms } = node(stage.server.url);
    assert.equal(await muted(ada, 'plain'), false);
    await rooms.mutePublishedTrack(room, 'plain', trackSid, true);
    await eventually('plain to be shown as muted', () => muted(ada, 'plain'));
    await rooms.removeParticipant(room, 'ada');
    await eventually('ada to be told', async () => (await ada.ask('events')).some(({ name, detail }) => name === 'Disconnected' && detail === 'PARTICIPANT_REMOVED'));
  }));
});
