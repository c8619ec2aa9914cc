// SPDX-License-Identifier: EUPL-1.2
// What happens in rooms, told to receivers that are made with the published SDKs.
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { WebhookReceiver } from 'livekit-server-sdk';
import { eventually } from '../support/check.mjs';
import { SMALL, Stage } from '../support/call.mjs';
import { KEY, Receiver } from '../support/receiver.mjs';
import { Server } from '../support/server.mjs';
import { shows } from '../support/shows.mjs';

describe('webhooks', () => {
  const open = [];
  const opened = (thing) => (open.push(thing), thing);
  afterEach(async () => {
    for (const thing of open.splice(0).reverse()) await thing.close();
  });

  it('tell a meeting of real clients from its beginning to its end, and both SDKs take the signature', shows({ 'api-python': ['webhooks'], 'api-node': ['webhooks'] }, async () => {
    const receiver = opened(await Receiver.open());
    const stage = opened(await Stage.over(await Server.configured(receiver.configuration())));
    const room = stage.room();
    const ada = await stage.join('python', room, 'ada');
    await ada.ask('publishBars', { ...SMALL });
    await receiver.until(room, 'track_published ada CAMERA');
    await stage.join('rtc-node', room, 'bob');
    await receiver.until(room, 'participant_joined bob');
    await stage.clear();
    const story = await receiver.until(room, 'room_finished');
    assert.deepEqual(story.slice(0, 4), ['room_started', 'participant_joined ada', 'track_published ada CAMERA', 'participant_joined bob']);
    assert.deepEqual(story.slice(4, -1).sort(), ['participant_left ada', 'participant_left bob', 'track_unpublished ada CAMERA']);
    assert.ok(story.indexOf('track_unpublished ada CAMERA') < story.indexOf('participant_left ada'));
    assert.equal(story.at(-1), 'room_finished');
    assert.equal(receiver.refused, undefined);

    const [first] = receiver.taken;
    assert.equal(first.headers['content-type'], 'application/webhook+json');
    assert.equal(first.headers['parvis-event-id'], first.event.id);
    assert.ok(Math.abs(Number(first.event.createdAt) - Date.now() / 1000) < 60, first.event.createdAt);
    assert.equal(new Set(receiver.taken.map(({ event }) => event.id)).size, receiver.taken.length, 'each has its own id');
    const joined = receiver.taken.find(({ event }) => event.event === 'participant_joined');
    assert.equal(joined.event.participant.sid, ada.joined.sid);
    assert.equal(joined.event.participant.state, 'ACTIVE');
  }));

  it('row 50: a body that was changed, or another key, is refused by both SDKs', shows({ 'api-python': ['webhooks'], 'api-node': ['webhooks'] }, async () => {
    const receiver = opened(await Receiver.open());
    const stage = opened(await Stage.over(await Server.configured(receiver.configuration())));
    const room = stage.room();
    await stage.join('python', room, 'ada');
    await receiver.until(room, 'participant_joined ada');
    const { body, token } = receiver.taken[0];
    const forged = body.replace(room, 'elsewhere');
    await assert.rejects(receiver.node.receive(forged, token));
    await assert.rejects(receiver.python.ask('receive', { ...KEY, body: forged, token }));
    await assert.rejects(receiver.node.receive(body, undefined));
    const other = { key: KEY.key, secret: 'another secret of at least 32 bytes' };
    await assert.rejects(new WebhookReceiver(other.key, other.secret).receive(body, token));
    await assert.rejects(receiver.python.ask('receive', { ...other, body, token }));
    const { exp, nbf } = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
    assert.ok(exp - nbf <= 300, `it holds for ${exp - nbf} s`);
  }));

  it('wait for a receiver that is down, through the death of the server', async () => {
    const receiver = opened(await Receiver.open());
    receiver.down = true;
    const server = await Server.configured(receiver.configuration());
    const stage = opened(await Stage.over(server));
    const room = stage.room();
    await stage.join('python', room, 'ada');
    await eventually('several tries', async () => receiver.tried >= 3, 20_000);
    assert.deepEqual(receiver.taken, []);
    const first = server.process;
    server.signal('SIGKILL');
    await server.exited;
    await stage.clear();
    receiver.down = false;
    await server.run('--config', `${server.data}/parvis.toml`, '--metrics', '127.0.0.1:0');
    assert.notEqual(server.process.pid, first.pid);
    const story = await receiver.until(room, 'participant_joined ada');
    assert.deepEqual(story.slice(0, 2), ['room_started', 'participant_joined ada']);
  });
});
