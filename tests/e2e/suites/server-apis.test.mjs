// SPDX-License-Identifier: EUPL-1.2
// Applications' servers, on the published SDKs, against a real server with real clients in its rooms.
import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { after, afterEach, before, describe, it } from 'node:test';
import { DataPacket_Kind } from 'livekit-server-sdk';
import { IngressInput, node, python, refused } from '../support/applications.mjs';
import { assertTone, eventually } from '../support/check.mjs';
import { HERTZ, SMALL, Stage } from '../support/call.mjs';
import { token } from '../support/server.mjs';
import { shows } from '../support/shows.mjs';

const other = async (caller, identity) => (await caller.ask('state')).participants.find((each) => each.identity === identity);

let stage, py, js;
before(async () => {
  stage = await Stage.open();
  py = await python(stage.server.url);
  js = node(stage.server.url);
});
after(async () => {
  await py?.close();
  await stage?.close();
});
afterEach(() => stage.clear());

describe('rooms', () => {
  it('are made, listed, described and ended by the Python SDK, and their clients hear of it', shows({ 'api-python': ['rooms'], python: ['room-deleted'] }, async () => {
    const name = stage.room();
    const made = await py.ask('room.create_room', 'CreateRoomRequest', {
      name, emptyTimeout: 600, departureTimeout: 30, maxParticipants: 5, metadata: '{"topic":"bees"}',
    });
    assert.deepEqual([made.name, made.emptyTimeout, made.departureTimeout, made.maxParticipants, made.metadata], [name, 600, 30, 5, '{"topic":"bees"}']);
    const ada = await stage.join('python', name, 'ada');
    assert.equal((await ada.ask('state')).metadata, '{"topic":"bees"}');
    const listed = await py.ask('room.list_rooms', 'ListRoomsRequest', { names: [name] });
    assert.deepEqual(listed.rooms.map((room) => [room.sid, room.numParticipants]), [[made.sid, 1]]);
    await py.ask('room.update_room_metadata', 'UpdateRoomMetadataRequest', { room: name, metadata: 'changed' });
    await eventually('the new metadata', async () => (await ada.ask('state')).metadata === 'changed');
    await py.ask('room.delete_room', 'DeleteRoomRequest', { room: name });
    await eventually('the end of the room', async () => (await ada.ask('log')).includes('disconnected'));
    assert.deepEqual(await py.ask('room.list_rooms', 'ListRoomsRequest', { names: [name] }), {});
    await assert.rejects(py.ask('room.delete_room', 'DeleteRoomRequest', { room: name }), refused('not_found', 404));
  }));

  it('are made, listed, described and ended by the Node SDK', shows({ 'api-node': ['rooms'], 'rtc-node': ['room-deleted'] }, async () => {
    const name = stage.room();
    const made = await js.rooms.createRoom({ name, emptyTimeout: 600, maxParticipants: 5, metadata: 'bees' });
    assert.deepEqual([made.name, made.emptyTimeout, made.maxParticipants, made.metadata], [name, 600, 5, 'bees']);
    assert.deepEqual((await js.rooms.listRooms([name])).map((room) => room.sid), [made.sid]);
    assert.equal((await js.rooms.updateRoomMetadata(name, 'changed')).metadata, 'changed');
    const bob = await stage.join('rtc-node', name, 'bob');
    await js.rooms.deleteRoom(name);
    await eventually('the end of the room', async () => (await bob.ask('log')).includes('Disconnected'));
    assert.deepEqual(await js.rooms.listRooms([name]), []);
    await assert.rejects(js.rooms.deleteRoom(name), refused('not_found', 404));
  }));

  it('are refused to a key that is not ours, and to a name that can not be', async () => {
    const stranger = await python(stage.server.url, { name: 'devkey', secret: 'wrong' });
    await assert.rejects(stranger.ask('room.list_rooms', 'ListRoomsRequest'), refused('unauthenticated', 401));
    await stranger.close();
    await assert.rejects(node(stage.server.url, { name: 'devkey', secret: 'wrong' }).rooms.listRooms(), (error) => error.status === 401);
    await assert.rejects(py.ask('room.create_room', 'CreateRoomRequest', { name: '' }), refused('invalid_argument', 400));
  });
});

for (const [sdk, api] of [['Python', 'api-python'], ['Node', 'api-node']]) {
  /** The calls on participants, by one SDK or the other. */
  const calls = (room) => sdk === 'Python'
    ? {
        list: async () => (await py.ask('room.list_participants', 'ListParticipantsRequest', { room })).participants,
        get: (identity) => py.ask('room.get_participant', 'RoomParticipantIdentity', { room, identity }),
        remove: (identity) => py.ask('room.remove_participant', 'RoomParticipantIdentity', { room, identity }),
        mute: async (identity, trackSid, muted) => (await py.ask('room.mute_published_track', 'MuteRoomTrackRequest', { room, identity, trackSid, muted })).track,
        update: (identity, change) => py.ask('room.update_participant', 'UpdateParticipantRequest', { room, identity, ...change }),
        subscribe: (identity, trackSids, subscribe) => py.ask('room.update_subscriptions', 'UpdateSubscriptionsRequest', { room, identity, trackSids, subscribe }),
        forward: (identity, destinationRoom) => py.ask('room.forward_participant', 'ForwardParticipantRequest', { room, identity, destinationRoom }),
        move: (identity, destinationRoom) => py.ask('room.move_participant', 'MoveParticipantRequest', { room, identity, destinationRoom }),
        send: (text, destinationIdentities, topic) => py.ask('room.send_data', 'SendDataRequest', { room, data: Buffer.from(text).toString('base64'), kind: 'RELIABLE', destinationIdentities, topic }),
      }
    : {
        list: () => js.rooms.listParticipants(room),
        get: (identity) => js.rooms.getParticipant(room, identity),
        remove: (identity) => js.rooms.removeParticipant(room, identity),
        mute: (identity, trackSid, muted) => js.rooms.mutePublishedTrack(room, identity, trackSid, muted),
        update: (identity, change) => js.rooms.updateParticipant(room, identity, change),
        subscribe: (identity, trackSids, subscribe) => js.rooms.updateSubscriptions(room, identity, trackSids, subscribe),
        forward: (identity, destinationRoom) => js.rooms.forwardParticipant(room, identity, destinationRoom),
        move: (identity, destinationRoom) => js.rooms.moveParticipant(room, identity, destinationRoom),
        send: (text, destinationIdentities, topic) => js.rooms.sendData(room, new TextEncoder().encode(text), DataPacket_Kind.RELIABLE, { destinationIdentities, topic }),
      };

  describe(`participants, by the ${sdk} SDK`, () => {
    it('are listed and found, and who is not there is not found', shows({ [api]: ['participants'] }, async () => {
      const room = stage.room();
      const ada = await stage.join('python', room, 'ada');
      await stage.join('rtc-node', room, 'bob');
      const by = calls(room);
      await eventually('both', async () => (await by.list()).map((each) => each.identity).sort().join() === 'ada,bob');
      assert.equal((await by.get('ada')).sid, ada.joined.sid);
      await assert.rejects(by.get('nobody'), refused('not_found', 404));
    }));

    it('get another name, metadata and attributes, and everyone sees them', shows({ [api]: ['update'] }, async () => {
      const room = stage.room();
      const ada = await stage.join('python', room, 'ada');
      await stage.join('python', room, 'bob');
      const changed = await calls(room).update('bob', { name: 'Bob B.', metadata: '{"hand":true}', attributes: { role: 'speaker' } });
      assert.deepEqual([changed.name, changed.metadata, changed.attributes.role], ['Bob B.', '{"hand":true}', 'speaker']);
      // The SDK takes one after the other.
      await eventually('all that is new of bob', async () => {
        const seen = await other(ada, 'bob');
        return isDeepStrictEqual([seen?.name, seen?.metadata, seen?.attributes], ['Bob B.', '{"hand":true}', { role: 'speaker' }]);
      });
    }));

    it('are silenced, and nobody turns their microphone on from afar', shows({ [api]: ['mute'], python: ['muted'] }, async () => {
      const room = stage.room();
      const ada = await stage.join('python', room, 'ada');
      const bob = await stage.join('python', room, 'bob');
      const sid = await ada.ask('publishTone', { hertz: HERTZ });
      assertTone(await bob.ask('heard', { identity: 'ada' }), HERTZ, 'bob');
      const track = await calls(room).mute('ada', sid, true);
      assert.equal(track.muted, true);
      await eventually('silence', async () => (await other(bob, 'ada')).tracks[0].muted);
      await assert.rejects(calls(room).mute('ada', sid, false), refused('failed_precondition', 412));
      await assert.rejects(calls(room).mute('ada', 'TR_nothing', true), refused('not_found', 404));
    }));

    it('lose the right to publish, and with it what they publish, at once', shows({ [api]: ['permissions'] }, async () => {
      const room = stage.room();
      const ada = await stage.join('python', room, 'ada');
      const bob = await stage.join('python', room, 'bob');
      await ada.ask('publishTone', { hertz: HERTZ });
      assertTone(await bob.ask('heard', { identity: 'ada' }), HERTZ, 'bob');
      const changed = await calls(room).update('ada', { permission: { canSubscribe: true, canPublish: false, canPublishData: true } });
      assert.ok(!changed.permission.canPublish && changed.permission.canSubscribe);
      await eventually('the end of the track', async () => (await other(bob, 'ada')).tracks.length === 0);
      await assert.rejects(ada.ask('publishBars', { ...SMALL }));
    }));

    it('are made to receive a track, or not to', shows({ [api]: ['subscriptions'] }, async () => {
      const room = stage.room();
      const ada = await stage.join('python', room, 'ada');
      const bob = await stage.join('python', room, 'bob');
      const sid = await ada.ask('publishTone', { hertz: HERTZ });
      assertTone(await bob.ask('heard', { identity: 'ada' }), HERTZ, 'bob');
      await calls(room).subscribe('bob', [sid], false);
      // What was on its way is heard first.
      const silent = () => bob.ask('heard', { identity: 'ada', milliseconds: 4000 }).then(() => false, () => true);
      await eventually('silence', silent, 20_000);
    }));

    it('are sent a message that comes from the server', shows({ [api]: ['send-data'] }, async () => {
      const room = stage.room();
      const ada = await stage.join('python', room, 'ada');
      const bob = await stage.join('python', room, 'bob');
      await calls(room).send('to all', [], 'notices');
      for (const caller of [ada, bob]) assert.deepEqual(await caller.ask('untilNotice', { text: 'to all' }), { count: 1, topic: 'notices' });
      await calls(room).send('to bob', ['bob'], 'notices');
      await bob.ask('untilNotice', { text: 'to bob' });
      await calls(room).send('to all again', [], undefined);
      await ada.ask('untilNotice', { text: 'to all again' });
      await assert.rejects(Promise.race([ada.ask('untilNotice', { text: 'to bob' }), new Promise((_, failed) => setTimeout(() => failed(new Error('not for her')), 1000))]));
    }));

    it('are forwarded to another room, and moved there', shows({ [api]: ['forward', 'move'] }, async () => {
      const [room, to] = [stage.room(), stage.room()];
      const waits = await stage.join('python', to, 'waits');
      await stage.join('python', room, 'ada');
      const bob = await stage.join('python', room, 'bob');
      await calls(room).forward('ada', to);
      await eventually('ada in both', async () => (await other(waits, 'ada')) && (await other(bob, 'ada')));
      await calls(room).move('bob', to);
      await eventually('bob there', () => other(waits, 'bob'));
      await eventually('that bob knows', async () => (await bob.ask('roomName')) === to);
      await assert.rejects(calls(room).move('nobody', to), refused('not_found', 404));
    }));

    it('row 44: are removed, and stay out', shows({ [api]: ['remove'], python: ['removed'] }, async () => {
      const room = stage.room();
      const ada = await stage.join('python', room, 'ada');
      const eve = await stage.join('python', room, 'eve');
      // Made before the removal: one that an application makes later lets eve in again.
      const kept = token(room, 'eve');
      await eve.ask('publishTone', { hertz: HERTZ });
      assertTone(await ada.ask('heard', { identity: 'eve' }), HERTZ, 'ada');
      await calls(room).remove('eve');
      await eventually('the end for eve', async () => (await eve.ask('log')).includes('disconnected'));
      // What was on its way is heard first.
      await eventually('her silence', () => ada.ask('heard', { identity: 'eve', milliseconds: 4000 }).then(() => false, () => true));
      await assert.rejects(eve.ask('connect', { url: stage.server.ws, token: kept }));
      assert.deepEqual((await calls(room).list()).map((each) => each.identity), ['ada']);
      await assert.rejects(calls(room).remove('eve'), refused('not_found', 404));
    }));
  });
}

describe('records', () => {
  it('of streams that come in are kept by both SDKs', shows({ 'api-python': ['ingress'], 'api-node': ['ingress'] }, async () => {
    const room = stage.room();
    const made = await js.ingress.createIngress(IngressInput.WHIP_INPUT, { name: 'stage', roomName: room, participantIdentity: 'camera' });
    assert.ok(made.streamKey.length >= 22);
    const renamed = await js.ingress.updateIngress(made.ingressId, { name: 'renamed', participantIdentity: 'camera' });
    assert.equal(renamed.name, 'renamed');
    const listed = await py.ask('ingress.list_ingress', 'ListIngressRequest', { roomName: room });
    assert.deepEqual(listed.items.map((each) => [each.ingressId, each.streamKey]), [[made.ingressId, made.streamKey]]);
    await py.ask('ingress.delete_ingress', 'DeleteIngressRequest', { ingressId: made.ingressId });
    assert.deepEqual(await js.ingress.listIngress({ roomName: room }), []);
    await assert.rejects(js.ingress.createIngress(IngressInput.RTMP_INPUT, { roomName: room, participantIdentity: 'camera' }), refused('unimplemented', 501));
  }));

  it('of agents that are to come, and of egress, are kept for the Node SDK', shows({ 'api-node': ['dispatch', 'egress-records'] }, async () => {
    const room = stage.room();
    await js.rooms.createRoom({ name: room });
    const made = await js.dispatch.createDispatch(room, 'scribe', { metadata: 'minutes' });
    // Workers without a name come to every room, so that there is one for them as well.
    const listed = async () => (await js.dispatch.listDispatch(room)).filter((each) => each.agentName !== '').map((each) => [each.id, each.agentName, each.metadata]);
    assert.deepEqual(await listed(), [[made.id, 'scribe', 'minutes']]);
    await js.dispatch.deleteDispatch(made.id, room);
    assert.deepEqual(await listed(), []);
    assert.deepEqual(await js.egress.listEgress({ egressId: 'EG_1' }), []);
    await assert.rejects(js.egress.stopEgress('EG_1'), refused('not_found', 404));
  }));

  it('of telephony are kept by both SDKs', shows({ 'api-python': ['sip'], 'api-node': ['sip'] }, async () => {
    const number = `+4930${Date.now()}`;
    const made = await js.sip.createSipInboundTrunk('in', [number], {});
    const listed = await py.ask('sip.list_sip_inbound_trunk', 'ListSIPInboundTrunkRequest', { numbers: [number] });
    assert.deepEqual(listed.items.map((each) => each.sipTrunkId), [made.sipTrunkId]);
    await js.sip.deleteSipTrunk(made.sipTrunkId);
    assert.deepEqual(await js.sip.listSipInboundTrunk({ numbers: [number] }), []);
  }));
});
