// SPDX-License-Identifier: EUPL-1.2
// Workers on the published agents SDK: their agents join when a room, a token or an application asks for them.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { RoomAgentDispatch, RoomConfiguration } from '@livekit/protocol';
import { AccessToken } from 'livekit-server-sdk';
import { startWorker } from '../support/agents.mjs';
import { node, python } from '../support/applications.mjs';
import { assertTone, eventually } from '../support/check.mjs';
import { HERTZ, Stage } from '../support/call.mjs';
import { Receiver } from '../support/receiver.mjs';
import { Server, token } from '../support/server.mjs';
import { shows } from '../support/shows.mjs';

const AGENT_KIND = 4;
let stage, application;
const workers = [];

const worker = async (settings) =>
  workers.push(await startWorker('worker.py', stage.server.ws, { name: 'devkey', secret: 'secret' }, settings));

const agents = async (caller) => (await caller.ask('state')).participants.filter((each) => each.kind === AGENT_KIND);

before(async () => {
  stage = await Stage.open();
  application = await python(stage.server.url);
});
after(async () => {
  await application?.close();
  await stage?.close();
});
afterEach(async () => {
  await stage.clear();
  for (const each of workers.splice(0)) await each.close();
});

describe('agents', () => {
  it('come to every room when they have no name, are heard, and hear', shows({ workers: ['every-room'] }, async () => {
    await worker({ WORKER_IDENTITY: 'helper' });
    const ada = await stage.join('python', stage.room(), 'ada');
    await eventually('the agent', async () => (await agents(ada)).some((each) => each.identity === 'helper'), 40_000);
    assertTone(await ada.ask('heard', { identity: 'helper', milliseconds: 30_000 }), 660, 'ada');
    await ada.ask('say', { text: 'hello' });
    await ada.ask('untilData', { from: 'helper', text: 'heard hello' });
  }));

  it('come when an application asks for them by name, and end when it takes that back', shows({ workers: ['by-application'], 'api-python': ['dispatch'] }, async () => {
    await worker({ WORKER_NAME: 'scribe', WORKER_IDENTITY: 'scribe' });
    const room = stage.room();
    const ada = await stage.join('python', room, 'ada');
    assert.deepEqual(await agents(ada), []);
    const dispatch = await application.ask('agent_dispatch.create_dispatch', 'CreateAgentDispatchRequest', { agentName: 'scribe', room, metadata: 'minutes' });
    const agent = await eventually('the agent', async () => (await agents(ada)).find((each) => each.attributes.job), 40_000);
    assert.deepEqual([agent.identity, agent.attributes.job], ['scribe', 'minutes']);
    const [listed] = await application.with('agent_dispatch.list_dispatch', { room_name: room }).then((all) => all.filter((each) => each.id === dispatch.id));
    assert.equal(listed.state.jobs[0].state.status, 'JS_RUNNING');
    await application.with('agent_dispatch.delete_dispatch', { dispatch_id: dispatch.id, room_name: room });
    await eventually('the end of the agent', async () => (await agents(ada)).length === 0, 40_000);
  }));

  it('come to a room that was made with them', shows({ workers: ['by-room'] }, async () => {
    await worker({ WORKER_NAME: 'scribe', WORKER_IDENTITY: 'scribe' });
    const room = stage.room();
    await application.ask('room.create_room', 'CreateRoomRequest', { name: room, agents: [{ agentName: 'scribe', metadata: 'from the room' }] });
    const ada = await stage.join('python', room, 'ada');
    const agent = await eventually('the agent', async () => (await agents(ada)).find((each) => each.attributes.job), 40_000);
    assert.equal(agent.attributes.job, 'from the room');
  }));

  it('come to a room because the token of whoever opens it asks for them', shows({ workers: ['by-token'] }, async () => {
    await worker({ WORKER_NAME: 'scribe', WORKER_IDENTITY: 'scribe' });
    const room = stage.room();
    const ticket = new AccessToken('devkey', 'secret', { identity: 'ada' });
    ticket.addGrant({ roomJoin: true, room });
    ticket.roomConfig = new RoomConfiguration({ agents: [new RoomAgentDispatch({ agentName: 'scribe', metadata: 'from the token' })] });
    const ada = await stage.join('python', room, 'ada', { token: await ticket.toJwt() });
    const agent = await eventually('the agent', async () => (await agents(ada)).find((each) => each.attributes.job), 40_000);
    assert.deepEqual([agent.identity, agent.attributes.job], ['scribe', 'from the token']);
  }));

  it('are told of by webhooks when their jobs begin and end', shows({ workers: ['job-webhooks'] }, async () => {
    const receiver = await Receiver.open();
    const server = await Server.configured(receiver.configuration());
    try {
      workers.push(await startWorker('worker.py', server.ws, server.key, { WORKER_NAME: 'scribe', WORKER_IDENTITY: 'scribe' }));
      const { dispatch } = node(server.url, server.key);
      const room = stage.room();
      const ada = await stage.join('python', room, 'ada', { url: server.ws, token: token(room, 'ada', {}, 'ada', server.key) });
      const { id } = await dispatch.createDispatch(room, 'scribe', { metadata: 'minutes' });
      await eventually('the agent', async () => (await agents(ada)).some((each) => each.attributes.job), 40_000);
      const [job] = (await dispatch.getDispatch(id, room)).state.jobs;
      const told = (name) => receiver.taken.filter(({ event }) => event.event === name).map(({ node }) => node.job);
      const begun = await eventually('the webhook of its beginning', () => told('agent_job_started')[0]);
      assert.deepEqual([begun.id, begun.dispatchId, begun.room.name, begun.metadata], [job.id, id, room, 'minutes']);
      assert.deepEqual(told('agent_job_ended'), []);
      await dispatch.deleteDispatch(id, room);
      const ended = await eventually('the webhook of its end', () => told('agent_job_ended')[0], 40_000);
      assert.deepEqual([ended.id, ended.dispatchId, ended.room.name], [job.id, id, room]);
      assert.deepEqual([told('agent_job_started').length, told('agent_job_ended').length], [1, 1]);
      assert.equal(receiver.refused, undefined);
    } finally {
      await receiver.close();
      await server.stop();
    }
  }));

  it('come for each publisher, and from another worker when one declines', shows({ workers: ['publisher-jobs', 'declined'] }, async () => {
    await worker({ WORKER_TYPE: 'publisher', WORKER_DECLINES: '1', WORKER_LOAD: '0' });
    await worker({ WORKER_TYPE: 'publisher', WORKER_IDENTITY: 'listener', WORKER_LOAD: '0.3' });
    const ada = await stage.join('python', stage.room(), 'ada');
    assert.deepEqual(await agents(ada), []);
    await ada.ask('publishTone', { hertz: HERTZ });
    const agent = await eventually('the agent', async () => (await agents(ada)).find((each) => 'subject' in each.attributes), 40_000);
    assert.deepEqual([agent.identity, agent.attributes.subject], ['listener', 'ada']);
  }));
});
