// SPDX-License-Identifier: EUPL-1.2
// What three applications that are made for LiveKit call of its server, with what they send and what they go on with of
// the answers: La Suite Meet's backend (1.27), Element Call's token service, OpenTalk's controller.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { TrackSource } from 'livekit-server-sdk';
import { node, python } from '../support/applications.mjs';
import { assertBars, assertTone, eventually } from '../support/check.mjs';
import { HERTZ, SMALL, Stage } from '../support/call.mjs';
import { Server } from '../support/server.mjs';
import { shows } from '../support/shows.mjs';

const refused = (code, status) => (error) => error.code === code && (status === undefined || error.status === status);
const notFound = refused('not_found', 404);
const other = async (caller, identity) => (await caller.ask('state')).participants.find((each) => each.identity === identity);
const SOURCES = ['camera', 'microphone', 'screen_share', 'screen_share_audio'];

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

describe('La Suite Meet', () => {
  /** Rooms are named by the UUIDs of its database. */
  const join = async (room, identity, name, admin = false) => {
    const grants = { room, room_join: true, room_admin: admin, can_update_own_metadata: false, can_publish: true, can_publish_sources: SOURCES, can_subscribe: true };
    const attributes = { color: 'hsl(210, 60%, 40%)', room_admin: String(admin) };
    return stage.join('python', room, identity, { token: await py.token({ identity, name, grants, attributes }) });
  };
  const rooms = async (room) => (await py.ask('room.list_rooms', 'ListRoomsRequest', { names: [room] })).rooms ?? [];
  const update = (room, identity, change) => py.ask('room.update_participant', 'UpdateParticipantRequest', { room, identity, ...change });

  it('counts and names who is there, and knows people from machines', async () => {
    const room = randomUUID();
    // Of one that is not there it says that nobody is.
    assert.deepEqual(await py.ask('room.list_participants', 'ListParticipantsRequest', { room }).catch((error) => assert.ok(notFound(error), error)) ?? {}, {});
    const ada = await join(room, 'sub-ada', 'Ada', true);
    await join(room, 'sub-bob', 'Bob');
    const { participants } = await py.ask('room.list_participants', 'ListParticipantsRequest', { room });
    assert.deepEqual(participants.map((each) => each.name).sort(), ['Ada', 'Bob']);
    for (const { kind, permission } of participants) assert.ok(!kind && !permission.agent && !permission.recorder);
    assert.deepEqual((await other(ada, 'sub-bob')).attributes, { color: 'hsl(210, 60%, 40%)', room_admin: 'false' });
    assert.deepEqual(participants[0].permission.canPublishSources, SOURCES.map((each) => each.toUpperCase()));
  });

  it('merges values into a room’s metadata', async () => {
    const room = randomUUID();
    assert.deepEqual(await rooms(room), []);
    await assert.rejects(py.ask('room.update_room_metadata', 'UpdateRoomMetadataRequest', { room, metadata: '{}' }), notFound);
    const ada = await join(room, 'sub-ada', 'Ada');
    assert.equal((await rooms(room))[0].metadata ?? '', '');
    for (const metadata of [{ access_level: 'public' }, { access_level: 'public', recording_status: 'started' }]) {
      await py.ask('room.update_room_metadata', 'UpdateRoomMetadataRequest', { room, metadata: JSON.stringify(metadata) });
      assert.deepEqual(JSON.parse((await rooms(room))[0].metadata), metadata);
      await eventually('what the room says now', async () => (await ada.ask('state')).metadata === JSON.stringify(metadata));
    }
  });

  it('tells all in a room', async () => {
    const room = randomUUID();
    const callers = [await join(room, 'sub-ada', 'Ada'), await join(room, 'sub-bob', 'Bob')];
    const notice = JSON.stringify({ type: 'participantWaiting' });
    await py.ask('room.send_data', 'SendDataRequest', { room, data: Buffer.from(notice).toString('base64'), kind: 'RELIABLE' });
    for (const caller of callers) assert.equal((await caller.ask('untilNotice', { text: notice })).count, 1);
  });

  it('mutes, changes and removes people, and is told who is not there', async () => {
    const room = randomUUID();
    const [ada, bob] = [await join(room, 'sub-ada', 'Ada', true), await join(room, 'sub-bob', 'Bob')];
    const trackSid = await bob.ask('publishTone', { hertz: HERTZ });
    assertTone(await ada.ask('heard', { identity: 'sub-bob' }), HERTZ, 'ada');
    await py.ask('room.mute_published_track', 'MuteRoomTrackRequest', { room, identity: 'sub-bob', trackSid, muted: true });
    await eventually('silence', async () => (await other(ada, 'sub-bob')).tracks[0].muted);

    // Of whatever it does not change it sends nothing, but metadata always, and "null" for none.
    await update(room, 'sub-bob', { metadata: 'null', name: 'Robert' });
    const renamed = await eventually('the new name', async () => (await other(ada, 'sub-bob')).name === 'Robert' && other(ada, 'sub-bob'));
    assert.deepEqual([renamed.metadata, renamed.attributes.color], ['null', 'hsl(210, 60%, 40%)']);
    await update(room, 'sub-bob', { metadata: '{"seat":1}', attributes: { room_role: 'member' } });
    const changed = await eventually('the new role', async () => (await other(ada, 'sub-bob')).attributes.room_role === 'member' && other(ada, 'sub-bob'));
    assert.deepEqual([changed.name, changed.metadata, changed.attributes.color], ['Robert', '{"seat":1}', 'hsl(210, 60%, 40%)']);
    const permission = { canSubscribe: true, canPublish: true, canPublishData: true, canPublishSources: ['CAMERA'], canUpdateMetadata: false };
    await update(room, 'sub-bob', { metadata: 'null', permission });
    await eventually('the end of the microphone', async () => (await other(ada, 'sub-bob')).tracks.length === 0);
    const found = await py.ask('room.get_participant', 'RoomParticipantIdentity', { room, identity: 'sub-bob' });
    assert.deepEqual([found.identity, found.permission.canPublishSources], ['sub-bob', ['CAMERA']]);

    await py.ask('room.remove_participant', 'RoomParticipantIdentity', { room, identity: 'sub-bob' });
    await eventually('the end for bob', async () => (await bob.ask('log')).includes('disconnected'));
    const gone = { room, identity: 'sub-bob' };
    await assert.rejects(py.ask('room.get_participant', 'RoomParticipantIdentity', gone), notFound);
    await assert.rejects(py.ask('room.remove_participant', 'RoomParticipantIdentity', gone), notFound);
    await assert.rejects(py.ask('room.mute_published_track', 'MuteRoomTrackRequest', { ...gone, trackSid, muted: true }), notFound);
    await assert.rejects(update(room, 'sub-bob', { metadata: 'null' }), notFound);
    await assert.rejects(update(randomUUID(), 'sub-ada', { metadata: 'null' }), notFound);
  });

  it('asks for recordings, and is told in words that there are none', shows({ 'api-python': ['egress-records'] }, async () => {
    const room = randomUUID();
    await join(room, 'sub-ada', 'Ada');
    const s3 = { accessKey: 'a', secret: 'b', bucket: 'c', region: 'd', endpoint: 'https://s3.example', forcePathStyle: true };
    const file = (fileType, filepath) => ({ roomName: room, fileOutputs: [{ fileType, filepath, s3 }] });
    const advanced = {
      width: 1280, height: 720, framerate: 30, videoCodec: 'H264_MAIN', videoBitrate: 3000, keyFrameInterval: 4,
      audioCodec: 'AAC', audioBitrate: 128, audioFrequency: 44100,
    };
    const pictures = { ...file('MP4', 'recordings/1.mp4'), layout: 'speaker-light' };
    for (const asked of [pictures, { ...pictures, advanced }, { ...file('OGG', 'recordings/1.ogg'), audioOnly: true }]) {
      await assert.rejects(py.ask('egress.start_room_composite_egress', 'RoomCompositeEgressRequest', asked), refused('failed_precondition', 412));
    }
    assert.deepEqual(await py.ask('egress.list_egress', 'ListEgressRequest', { egressId: 'EG_1' }), {});
    await assert.rejects(py.ask('egress.stop_egress', 'StopEgressRequest', { egressId: 'EG_1' }), notFound);
  }));

  it('lets people call in, by one rule for each room', shows({ 'api-python': ['sip'] }, async () => {
    const room = randomUUID();
    const name = `SIP_${room}`;
    const rule = { rule: { dispatchRuleDirect: { roomName: room, pin: String(1_000_000_000 + Math.floor(Math.random() * 8e9)) } }, name };
    // It looks for its own by their names among all that there are.
    const own = async () => ((await py.ask('sip.list_sip_dispatch_rule', 'ListSIPDispatchRuleRequest')).items ?? []).filter((each) => each.name === name);
    assert.deepEqual(await own(), []);
    await py.ask('sip.create_sip_dispatch_rule', 'CreateSIPDispatchRuleRequest', rule);
    await assert.rejects(py.ask('sip.create_sip_dispatch_rule', 'CreateSIPDispatchRuleRequest', rule), refused('already_exists', 409));
    const [found, ...more] = await own();
    assert.deepEqual(more, []);
    assert.deepEqual(found.rule, rule.rule);
    const { sipDispatchRuleId } = found;
    await py.ask('sip.delete_sip_dispatch_rule', 'DeleteSIPDispatchRuleRequest', { sipDispatchRuleId });
    await assert.rejects(py.ask('sip.delete_sip_dispatch_rule', 'DeleteSIPDispatchRuleRequest', { sipDispatchRuleId }), notFound);
    assert.deepEqual(await own(), []);
  }));

  it('sends for agents and sends them away', shows({ 'api-python': ['dispatch'] }, async () => {
    const room = randomUUID();
    await join(room, 'sub-ada', 'Ada');
    const dispatch = (body) => py.ask('agent_dispatch.create_dispatch', 'CreateAgentDispatchRequest', { room, ...body });
    const subtitles = await dispatch({ agentName: 'multi-user-transcriber' });
    const collector = await dispatch({ agentName: 'metadata-collector', metadata: '5f2e' });
    assert.ok(subtitles.id && collector.id && subtitles.id !== collector.id);
    const listed = async () => (await py.with('agent_dispatch.list_dispatch', { room_name: room })).filter((each) => each.agentName).map((each) => [each.id, each.agentName, each.metadata ?? '']);
    assert.deepEqual((await listed()).sort(), [[subtitles.id, 'multi-user-transcriber', ''], [collector.id, 'metadata-collector', '5f2e']].sort());
    await py.with('agent_dispatch.delete_dispatch', { dispatch_id: subtitles.id, room_name: room });
    await assert.rejects(py.ask('room.remove_participant', 'RoomParticipantIdentity', { room, identity: `multi-user-transcriber-${room}` }), notFound);
    await py.with('agent_dispatch.delete_dispatch', { dispatch_id: collector.id, room_name: room });
    assert.deepEqual(await listed(), []);
  }));

  it('ends a room, and does not find it any more', async () => {
    const room = randomUUID();
    const ada = await join(room, 'sub-ada', 'Ada');
    await py.ask('room.delete_room', 'DeleteRoomRequest', { room });
    await eventually('the end for ada', async () => (await ada.ask('log')).includes('disconnected'));
    await assert.rejects(py.ask('room.delete_room', 'DeleteRoomRequest', { room }), notFound);
    assert.deepEqual(await rooms(room), []);
  });
});

describe('Element Call’s token service', () => {
  it('makes the room before each token, nobody else does, and asks who has come', async () => {
    const server = await Server.configured('[rooms]\nauto_create = false\n');
    const own = await Stage.over(server);
    const service = await python(server.url, server.key);
    try {
      // Rooms and people are hashes in base64, with whatever signs that has.
      const [room, ada, bob] = ['+/room', '/+ada', '+bob/'].map((end) => `${randomBytes(24).toString('base64')}${end}`);
      const grants = { room, room_join: true, room_create: false, can_publish: true, can_subscribe: true, can_update_own_metadata: true };
      const join = async (identity) => own.join('python', room, identity, { token: await service.token({ identity, name: identity, grants }) });
      const create = () => service.ask('room.create_room', 'CreateRoomRequest', { name: room, emptyTimeout: 300, departureTimeout: 20, maxParticipants: 0 });
      const present = (identity) => service.ask('room.get_participant', 'RoomParticipantIdentity', { room, identity });
      await assert.rejects(join(ada));
      await assert.rejects(present(ada), notFound);
      const made = await create();
      assert.deepEqual([made.name, made.emptyTimeout, made.departureTimeout, made.maxParticipants], [room, 300, 20, undefined]);
      assert.ok(Math.abs(Number(made.creationTime) - Date.now() / 1000) < 30);
      await assert.rejects(present(ada), notFound);
      const first = await join(ada);
      assert.equal((await present(ada)).state, 'ACTIVE');
      // For the next one it is the same room, and it says since when it has been there.
      const again = await create();
      assert.deepEqual([again.sid, again.creationTime, again.numParticipants], [made.sid, made.creationTime, 1]);
      const second = await join(bob);
      await first.ask('say', { text: 'are you there?' });
      await second.ask('untilData', { from: ada, text: 'are you there?' });
      await second.ask('leave');
      await eventually('that bob has gone', () => present(bob).then(() => false, notFound));
      assert.equal((await present(ada)).state, 'ACTIVE');
    } finally {
      await service.close();
      await own.close();
    }
  });
});

describe('OpenTalk', () => {
  const grants = { canPublishData: false, canPublishSources: SOURCES, canUpdateOwnMetadata: false };
  const { MICROPHONE, SCREEN_SHARE, SCREEN_SHARE_AUDIO } = TrackSource;
  const listed = async (room, identity) => (await js.rooms.listParticipants(room)).find((each) => each.identity === identity);

  /** As it does that: from what somebody may publish now, with nothing else in the request. */
  async function allow(room, identity, sources, grant) {
    const { permission: { canPublishSources } } = await listed(room, identity);
    const left = canPublishSources.filter((each) => !sources.includes(each));
    const permission = { canSubscribe: true, canPublish: true, canPublishData: false, hidden: false, canUpdateMetadata: false };
    return js.rooms.updateParticipant(room, identity, { permission: { ...permission, canPublishSources: grant ? [...left, ...sources] : left } });
  }

  it('makes the room for each who joins, and ends it once', async () => {
    const room = randomUUID();
    const made = await js.rooms.createRoom({ name: room });
    assert.deepEqual([made.name, (await js.rooms.createRoom({ name: room })).sid], [room, made.sid]);
    assert.deepEqual((await js.rooms.listRooms()).filter((each) => each.name === room).length, 1);
    await js.rooms.deleteRoom(room);
    await assert.rejects(js.rooms.deleteRoom(room), notFound);
  });

  it('mutes microphones, and nothing else of whoever it silences', async () => {
    const room = randomUUID();
    await js.rooms.createRoom({ name: room });
    const [ada, bob] = [await stage.join('python', room, 'ada', {}, grants), await stage.join('python', room, 'bob', {}, grants)];
    await ada.ask('publishBars', { ...SMALL });
    await ada.ask('publishTone', { hertz: HERTZ });
    assertTone(await bob.ask('heard', { identity: 'ada' }), HERTZ, 'bob');
    const { tracks } = await js.rooms.getParticipant(room, 'ada');
    const microphones = tracks.filter((track) => track.source === MICROPHONE);
    assert.equal(microphones.length, 1);
    for (const { sid } of microphones) assert.ok((await js.rooms.mutePublishedTrack(room, 'ada', sid, true)).muted);
    await eventually('silence', async () => (await other(bob, 'ada')).tracks.find((track) => track.sid === microphones[0].sid).muted);
    assertBars(await bob.ask('seen', { identity: 'ada', atLeast: 3 }), 'bob');
  });

  it('takes microphones and screens from some and gives them back, and leaves what they are called', async () => {
    const room = randomUUID();
    await js.rooms.createRoom({ name: room });
    const [ada, bob] = [await stage.join('python', room, 'ada', {}, grants), await stage.join('python', room, 'bob', {}, grants)];
    await ada.ask('publishTone', { hertz: HERTZ });
    assertTone(await bob.ask('heard', { identity: 'ada' }), HERTZ, 'bob');
    await js.rooms.updateParticipant(room, 'ada', { name: 'Ada', attributes: { seat: '1' } });
    assert.equal((await allow(room, 'ada', [SCREEN_SHARE, SCREEN_SHARE_AUDIO], false)).permission.canPublishSources.length, 2);
    const changed = await allow(room, 'ada', [MICROPHONE], false);
    assert.deepEqual([changed.permission.canPublishSources, changed.name, changed.attributes], [[TrackSource.CAMERA], 'Ada', { seat: '1' }]);
    await eventually('the end of the microphone', async () => (await other(bob, 'ada')).tracks.length === 0);
    await assert.rejects(ada.ask('publishTone', { hertz: HERTZ }));
    await allow(room, 'ada', [MICROPHONE], true);
    // Her client has to have heard of it.
    await eventually('her microphone again', () => ada.ask('publishTone', { hertz: HERTZ }).then(() => true, () => false));
    assertTone(await bob.ask('heard', { identity: 'ada' }), HERTZ, 'bob again');
    assert.deepEqual((await listed(room, 'bob')).permission.canPublishSources.length, 4, 'nobody else');
  });

  it('opens windows that are seen by nobody, and takes all that somebody had when he leaves', async () => {
    const room = randomUUID();
    await js.rooms.createRoom({ name: room });
    const [ada, bob] = [await stage.join('python', room, 'ada', {}, grants), await stage.join('python', room, 'bob', {}, grants)];
    await ada.ask('publishBars', { ...SMALL });
    const hidden = { ...grants, canPublish: false, canPublishSources: [], hidden: true };
    const popout = await stage.join('python', room, 'bob-popout1', {}, hidden);
    assertBars(await popout.ask('seen', { identity: 'ada' }), 'the window');
    await assert.rejects(popout.ask('publishBars', { ...SMALL }));
    assert.equal(await other(ada, 'bob-popout1'), undefined);
    for (const identity of ['bob', 'bob-popout1']) await js.rooms.removeParticipant(room, identity);
    for (const caller of [bob, popout]) await eventually('the end for it', async () => (await caller.ask('log')).includes('disconnected'));
    await assert.rejects(js.rooms.removeParticipant(room, 'bob-popout1'), notFound);
    assert.deepEqual((await js.rooms.listParticipants(room)).map((each) => each.identity), ['ada']);
  });

  it('hands on what clients ask before they connect', async () => {
    const room = randomUUID();
    const identity = 'ada';
    const good = await py.token({ identity, name: identity, grants: { room, room_join: true } });
    for (const path of ['/rtc/validate', '/rtc/v1/validate']) {
      const answer = await fetch(`${stage.server.url}${path}?access_token=${good}`);
      assert.deepEqual([answer.status, await answer.text()], [200, 'success'], path);
      assert.equal((await fetch(`${stage.server.url}${path}?access_token=${good}x`)).status, 401, path);
    }
  });
});
