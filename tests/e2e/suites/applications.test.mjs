// SPDX-License-Identifier: EUPL-1.2
// Applications that are made for LiveKit find what they call: La Suite Meet, Element Call's token service, OpenTalk. Each
// calls as its public sources do, with the arguments that it sends and the tokens that it makes, and gets what it reads.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { ParticipantInfo_Kind as Kind, ParticipantInfo_State as State, TrackSource } from '@livekit/protocol';
import { python, refused } from '../support/applications.mjs';
import { HERTZ, SMALL, Stage } from '../support/call.mjs';
import { assertBars, assertTone, eventually } from '../support/check.mjs';
import { KEY, Receiver } from '../support/receiver.mjs';
import { Server, token } from '../support/server.mjs';
import { shows } from '../support/shows.mjs';
import { proxyAs, silentSocket } from '../support/sockets.mjs';
import { Wire } from '../support/wire.mjs';

const SOURCES = ['camera', 'microphone', 'screen_share', 'screen_share_audio'];
const other = async (caller, identity) => (await caller.ask('state')).participants.find((each) => each.identity === identity);

const open = [];
const opened = (thing) => (open.push(thing), thing);
const closeAll = async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
};

describe('La Suite Meet', () => {
  let stage, backend, room;
  before(async () => {
    stage = await Stage.open();
    backend = await python(stage.server.url);
  });
  after(async () => {
    await backend?.close();
    await stage?.close();
  });
  afterEach(() => stage.clear());

  /** A token as the backend makes it for someone in its room. */
  const ticket = (identity, name, { administrates = false, sources = SOURCES } = {}) => backend.token({
    identity, name, attributes: { color: 'hsl(212, 61%, 40%)', room_admin: String(administrates) },
    room, room_join: true, room_admin: administrates, can_update_own_metadata: false, can_publish: sources.length > 0, can_publish_sources: sources, can_subscribe: true,
  });
  const join = async (identity, name, options) => stage.join('python', room, identity, { token: await ticket(identity, name, options) });
  const named = (request, body) => backend.ask(`room.${request}`, ...body);
  const listed = async () => (await named('list_rooms', ['ListRoomsRequest', { names: [room] }])).rooms ?? [];
  const found = (identity) => named('get_participant', ['RoomParticipantIdentity', { room, identity }]);
  /** As its `room_management` merges into what is there. */
  const merge = async (change) => {
    const [{ metadata }] = await listed();
    await named('update_room_metadata', ['UpdateRoomMetadataRequest', { room, metadata: JSON.stringify({ ...JSON.parse(metadata || '{}'), ...change }) }]);
  };

  it('gives tokens that let people in with a colour and a role, and let them publish what its configuration says', async () => {
    room = randomUUID();
    const [ada, bob] = [randomUUID(), randomUUID()];
    const owner = await join(ada, 'Ada', { administrates: true });
    const guest = await join(bob, 'Bob', { sources: ['microphone'] });
    const seen = await eventually('Bob', () => other(owner, bob));
    assert.deepEqual([seen.name, seen.attributes], ['Bob', { color: 'hsl(212, 61%, 40%)', room_admin: 'false' }]);
    assert.equal((await other(guest, ada)).attributes.room_admin, 'true');
    await guest.ask('publishTone', { hertz: HERTZ });
    assertTone(await owner.ask('heard', { identity: bob }), HERTZ, 'Ada');
    await assert.rejects(guest.ask('publishBars', { ...SMALL }), 'a camera is not among his sources');
    // Roles are the backend's. The SDK may not wait for the refusal; a change of the backend's that comes after it tells.
    await guest.ask('setAttributes', { room_admin: 'true' }).catch(() => {});
    await named('update_participant', ['UpdateParticipantRequest', { room, identity: bob, attributes: { later: 'yes' } }]);
    const after = await eventually('the later change', async () => (await other(owner, bob)).attributes.later === 'yes' && other(owner, bob));
    assert.equal(after.attributes.room_admin, 'false');
    const { permission, state } = await found(bob);
    assert.deepEqual([permission.canPublishSources, permission.canPublish, permission.canUpdateMetadata ?? false, state], [['MICROPHONE'], true, false, 'ACTIVE']);
  });

  it('keeps in a room’s metadata what it merges there, tells everyone of it, and finds no room where nobody is', async () => {
    room = randomUUID();
    assert.deepEqual(await listed(), []);
    const ada = await join(randomUUID(), 'Ada');
    await merge({ configuration: { can_publish_sources: SOURCES }, access_level: 'trusted' });
    await merge({ recording_mode: 'screen_recording', recording_status: 'started' });
    const expected = { configuration: { can_publish_sources: SOURCES }, access_level: 'trusted', recording_mode: 'screen_recording', recording_status: 'started' };
    await eventually('the metadata', async () => (await ada.ask('state')).metadata === JSON.stringify(expected));
    await backend.ask('room.delete_room', 'DeleteRoomRequest', { room });
    await eventually('the end', async () => (await ada.ask('log')).includes('disconnected'));
    await assert.rejects(backend.ask('room.delete_room', 'DeleteRoomRequest', { room }), refused('not_found', 404));
    assert.deepEqual(await listed(), []);
  });

  it('tells those who are in a room that somebody waits in its lobby', async () => {
    room = randomUUID();
    const callers = [await join(randomUUID(), 'Ada', { administrates: true }), await join(randomUUID(), 'Bob')];
    const text = '{"type": "participantWaiting"}';
    await named('send_data', ['SendDataRequest', { room, data: Buffer.from(text).toString('base64'), kind: 'RELIABLE' }]);
    for (const caller of callers) assert.equal((await caller.ask('untilNotice', { text })).count, 1);
  });

  it('moderates: mutes, renames, gives a hand back, takes sources away, removes, and hears of whoever is gone', async () => {
    room = randomUUID();
    const bob = randomUUID();
    const [ada, caller] = [await join(randomUUID(), 'Ada', { administrates: true }), await join(bob, 'Bob')];
    const sid = await caller.ask('publishTone', { hertz: HERTZ });
    assertTone(await ada.ask('heard', { identity: bob }), HERTZ, 'Ada');
    await named('mute_published_track', ['MuteRoomTrackRequest', { room, identity: bob, trackSid: sid, muted: true }]);
    await eventually('silence', async () => (await other(ada, bob)).tracks[0].muted);

    // What isn't said arrives as `null`, and means no change of it.
    const update = (change) => named('update_participant', ['UpdateParticipantRequest', { room, identity: bob, metadata: 'null', ...change }]);
    await update({ attributes: { handRaisedAt: '', room_role: 'member' }, name: 'Robert' });
    await eventually('his new name and role', async () => {
      const { name, attributes } = await other(ada, bob);
      return name === 'Robert' && isDeepStrictEqual(attributes, { color: 'hsl(212, 61%, 40%)', room_admin: 'false', room_role: 'member' });
    });
    const permission = { canSubscribe: true, canPublish: true, canPublishData: true, canUpdateMetadata: false, canPublishSources: ['CAMERA', 'SCREEN_SHARE', 'SCREEN_SHARE_AUDIO'] };
    const changed = await update({ permission });
    assert.deepEqual([changed.permission.canPublishSources, changed.name], [permission.canPublishSources, 'Robert']);
    await eventually('the end of his microphone', async () => (await other(ada, bob)).tracks.length === 0);
    await caller.ask('publishBars', { ...SMALL });
    assertBars(await ada.ask('seen', { identity: bob }), 'Ada');

    await named('remove_participant', ['RoomParticipantIdentity', { room, identity: bob }]);
    await eventually('his end', async () => (await caller.ask('log')).includes('disconnected'));
    await eventually('that she sees it', async () => (await other(ada, bob)) === undefined);
    await assert.rejects(found(bob), refused('not_found', 404));
    await assert.rejects(named('mute_published_track', ['MuteRoomTrackRequest', { room, identity: bob, trackSid: sid, muted: true }]), refused('not_found', 404));
    await assert.rejects(update({ name: 'Nobody' }), refused('not_found', 404));
    await assert.rejects(named('remove_participant', ['RoomParticipantIdentity', { room, identity: bob }]), refused('not_found', 404));
  });

  it('counts people for its join screen, and tells its agents from them though they are hidden', async () => {
    room = randomUUID();
    const people = () => named('list_participants', ['ListParticipantsRequest', { room }]).catch((error) => (refused('not_found', 404)(error) ? {} : Promise.reject(error)));
    assert.deepEqual(await people(), {});
    await join(randomUUID(), 'Ada');
    const identity = `multi-user-transcriber-${room}`;
    const scribe = await backend.token({ identity, name: '', attributes: {}, kind: 'agent', room, room_join: true, agent: true, hidden: true });
    await stage.join('python', room, identity, { token: scribe });
    const { participants } = await eventually('both', async () => (await people()).participants?.length === 2 && people());
    // The agent's worker looks for itself so that it comes once only.
    assert.deepEqual(participants.filter((each) => each.kind === 'AGENT').map((each) => each.identity), [identity]);
    assert.deepEqual(participants.filter((each) => each.kind !== 'AGENT').map((each) => each.name), ['Ada']);
  });

  it('asks for recordings in its two forms, and hears at once that there will be none', shows({ 'api-python': ['egress-records'] }, async () => {
    room = randomUUID();
    await join(randomUUID(), 'Ada');
    const s3 = { endpoint: 'https://s3.example.org', accessKey: 'meet', secret: 'password', region: 'fr-par', bucket: 'meet-media-storage', forcePathStyle: true };
    const output = (extension) => ({ fileType: extension.toUpperCase(), filepath: `recordings/${randomUUID()}.${extension}`, s3 });
    const advanced = { width: 1280, height: 720, framerate: 20, videoBitrate: 1000, audioBitrate: 96, keyFrameInterval: 4 };
    for (const form of [{ fileOutputs: [output('mp4')], layout: 'speaker-light', advanced }, { fileOutputs: [output('ogg')], audioOnly: true }]) {
      await assert.rejects(backend.ask('egress.start_room_composite_egress', 'RoomCompositeEgressRequest', { roomName: room, ...form }), refused('failed_precondition', 412));
    }
    assert.deepEqual(await backend.ask('egress.list_egress', 'ListEgressRequest', { roomName: room }), {}, 'nothing is written of them');
    assert.deepEqual(await backend.ask('egress.list_egress', 'ListEgressRequest', { egressId: 'EG_gone' }), {});
    await assert.rejects(backend.ask('egress.stop_egress', 'StopEgressRequest', { egressId: 'EG_gone' }), refused('not_found', 404));
  }));

  it('keeps one rule for calls to a room, and finds it by its name', shows({ 'api-python': ['sip'] }, async () => {
    const [own, foreign] = [randomUUID(), randomUUID()];
    const rule = (id, pin) => ({ rule: { dispatchRuleDirect: { roomName: id, pin } }, name: `SIP_${id}` });
    const create = (id, pin) => backend.ask('sip.create_sip_dispatch_rule', 'CreateSIPDispatchRuleRequest', rule(id, pin));
    const rules = async () => (await backend.ask('sip.list_sip_dispatch_rule', 'ListSIPDispatchRuleRequest', {})).items ?? [];
    const ids = async (id) => (await rules()).filter((each) => each.name === `SIP_${id}`).map((each) => each.sipDispatchRuleId);
    const made = await create(own, '1234567890');
    const second = await create(foreign, '2345678901');
    assert.deepEqual(made.rule.dispatchRuleDirect, { roomName: own, pin: '1234567890' });
    await assert.rejects(create(own, '1234567890'), refused('already_exists', 409));
    assert.deepEqual(await ids(own), [made.sipDispatchRuleId]);
    const remove = (id) => backend.ask('sip.delete_sip_dispatch_rule', 'DeleteSIPDispatchRuleRequest', { sipDispatchRuleId: id });
    await remove(made.sipDispatchRuleId);
    await assert.rejects(remove(made.sipDispatchRuleId), refused('not_found', 404));
    assert.deepEqual([await ids(own), await ids(foreign)], [[], [second.sipDispatchRuleId]]);
    await remove(second.sipDispatchRuleId);
  }));

  it('asks for subtitles and for a collector of metadata, and takes back what it asked for', shows({ 'api-python': ['dispatch'] }, async () => {
    room = randomUUID();
    await join(randomUUID(), 'Ada');
    const create = (request) => backend.ask('agent_dispatch.create_dispatch', 'CreateAgentDispatchRequest', { room, ...request });
    const subtitles = await create({ agentName: 'multi-user-transcriber' });
    const collector = await create({ agentName: 'metadata-extractor', metadata: randomUUID() });
    assert.ok(subtitles.id && collector.id && collector.metadata.length === 36);
    // As it looks for its own: what is for workers without a name is there as well.
    const names = async () => (await backend.with('agent_dispatch.list_dispatch', { room_name: room })).map((each) => each.agentName).filter(Boolean).sort();
    assert.deepEqual(await names(), ['metadata-extractor', 'multi-user-transcriber']);
    await backend.with('agent_dispatch.delete_dispatch', { dispatch_id: collector.id, room_name: room });
    assert.deepEqual(await names(), ['multi-user-transcriber']);
    await backend.with('agent_dispatch.delete_dispatch', { dispatch_id: subtitles.id, room_name: room });
    await assert.rejects(named('remove_participant', ['RoomParticipantIdentity', { room, identity: `multi-user-transcriber-${room}` }]), refused('not_found', 404));
  }));
});

describe('La Suite Meet’s receiver of webhooks', () => {
  afterEach(closeAll);

  it('hears all that it has words for, though it refuses what it has none for', shows({ 'api-python': ['webhooks'] }, async () => {
    // The words of its `LiveKitWebhookEventType`; it answers 422 to others.
    const words = ['room_started', 'room_finished', 'participant_joined', 'participant_left', 'track_published', 'track_unpublished', 'egress_started', 'egress_updated', 'egress_ended', 'ingress_started', 'ingress_ended'];
    const receiver = opened(await Receiver.open(({ event }) => (words.includes(event) ? 200 : 422)));
    const server = await Server.configured(`${receiver.configuration()}\n[sessions]\njoin_timeout = "2s"\nresume_timeout = "1s"\n`);
    const stage = opened(await Stage.over(server));
    const room = randomUUID();
    await stage.join('python', room, 'ada');
    const socket = await silentSocket(`${server.url}/rtc?protocol=16&access_token=${token(room, 'eve', {}, 'eve', server.key)}`);
    await eventually('the event without a word', () => receiver.turnedAway.length > 0, 30_000);
    socket.destroy();
    await stage.clear();
    const story = await receiver.until(room, 'room_finished');
    assert.deepEqual(story, ['room_started', 'participant_joined ada', 'participant_left ada', 'room_finished']);
    assert.deepEqual(receiver.turnedAway.map(({ event }) => event.event), Array(3).fill('participant_connection_aborted'), 'three tries, and no more');
    assert.equal(await server.figure('parvis_webhooks_dead'), 1);
    assert.equal(receiver.refused, undefined);
  }));
});

for (const sdk of ['go', 'rust']) {
  describe(`Element Call’s token service, in its form on the SDK for ${sdk === 'go' ? 'Go' : 'Rust'}`, () => {
    let stage, service, receiver, room;
    before(async () => {
      receiver = await Receiver.open();
      const rooms = 'auto_create = false\ndeparture_timeout = "1s"';
      const server = await Server.configured(`${receiver.configuration(rooms)}\n[sessions]\njoin_timeout = "2s"\nresume_timeout = "1s"\n`);
      stage = await Stage.over(server);
      service = new Wire(sdk, server.url, server.key);
    });
    after(async () => {
      await stage?.close();
      await receiver?.close();
    });
    afterEach(() => stage.clear());

    // Its rooms and identities are hashes in base64, which has / and +.
    const hashed = () => `${randomBytes(30).toString('base64')}/+a`;
    const create = () => service.call('CreateRoom', { name: room, emptyTimeout: 300, departureTimeout: 20, maxParticipants: 0 });
    /** The token of a user of its own homeserver, or of another one's. */
    const ticket = (identity, canPublish = true) => service.token({ roomJoin: true, room, canPublish, canSubscribe: true, canUpdateOwnMetadata: false }, identity, '', 3600);
    const join = (identity, canPublish) => stage.join('python', room, identity, { token: ticket(identity, canPublish) });
    const present = (identity) => service.call('GetParticipant', { room, identity }).then(() => true, (error) => (error.code === 'not_found' ? false : Promise.reject(error)));
    const told = async (name, identity) => {
      await receiver.until(room, `${name} ${identity}`);
      return receiver.taken.find(({ event }) => event.event === name && event.participant?.identity === identity).event;
    };

    it('makes rooms that nobody else makes, once, and lets people of other homeservers listen', async () => {
      room = hashed();
      const [ada, eve] = [hashed(), hashed()];
      await assert.rejects(join(eve, false), 'nobody of another homeserver makes a room');
      const begun = Math.floor(Date.now() / 1000);
      const made = await create();
      // No bound of its own: the server's holds.
      assert.deepEqual([made.name, made.emptyTimeout, made.departureTimeout, made.maxParticipants > 2], [room, 300, 20, true]);
      assert.ok(Number(made.creationTime) >= begun && Number(made.creationTime) <= Date.now() / 1000, 'that is how it knows that the room is new');
      const again = await create();
      assert.deepEqual([again.sid, again.creationTime], [made.sid, made.creationTime]);

      assert.equal(await present(ada), false);
      const publisher = await join(ada);
      assert.equal(await present(ada), true);
      const { identity, state, kind, permission } = await service.call('GetParticipant', { room, identity: ada });
      assert.deepEqual([identity, state, kind, permission.canPublish], [ada, State.ACTIVE, Kind.STANDARD, true]);
      const listener = await join(eve, false);
      await publisher.ask('publishTone', { hertz: HERTZ });
      assertTone(await listener.ask('heard', { identity: ada }), HERTZ, 'Eve');
      await assert.rejects(listener.ask('publishTone', { hertz: HERTZ }));
      await assert.rejects(new Wire(sdk, stage.server.url, { ...stage.server.key, secret: 'another' }).call('GetParticipant', { room, identity: ada }), refused('unauthenticated', 401));
    });

    it('hears who came, who left on purpose, who was lost, and who never arrived', async () => {
      room = hashed();
      await create();
      const [ada, bob, eve] = [hashed(), hashed(), hashed()];
      const leaves = await join(ada);
      const lost = await join(bob);
      assert.equal((await told('participant_joined', ada)).room.name, room);
      await leaves.ask('leave');
      assert.equal((await told('participant_left', ada)).participant.disconnectReason, 'CLIENT_INITIATED');
      await lost.close();
      assert.notEqual((await told('participant_left', bob)).participant.disconnectReason, 'CLIENT_INITIATED');
      const socket = await silentSocket(`${stage.server.url}/rtc?protocol=16&access_token=${ticket(eve)}`);
      assert.notEqual((await told('participant_connection_aborted', eve)).participant.disconnectReason, 'CLIENT_INITIATED');
      socket.destroy();
      await eventually('nobody', async () => !(await present(ada)) && !(await present(bob)) && !(await present(eve)));
      // Rust's verifier wants either no grants or all that it knows.
      const claims = JSON.parse(Buffer.from(receiver.taken[0].token.split('.')[1], 'base64url'));
      assert.deepEqual([claims.video, claims.iss], [undefined, KEY.key]);
    });
  });
}

describe('OpenTalk', () => {
  let stage, server, controller, room;
  before(async () => {
    // Its settings: rooms are the controller's to make.
    server = await Server.configured('[rooms]\nauto_create = false\n');
    stage = await Stage.over(server);
    controller = new Wire('rust', server.url, server.key);
  });
  after(() => stage?.close());
  afterEach(async () => {
    await stage.clear();
    await closeAll();
  });

  const name = () => `${randomUUID()}:main`;
  const create = () => controller.call('CreateRoom', { name: room });
  /** The controller's token for half a minute; the room server's lets its holder make the room as well. */
  const ticket = (identity, grants = {}) => controller.token({ roomJoin: true, room, canPublishData: false, canPublishSources: SOURCES, ...grants }, identity, identity, 32);
  const join = (identity, grants) => stage.join('python', room, identity, { token: ticket(identity, grants) });
  const participants = async () => (await controller.call('ListParticipants', { room })).participants;
  const found = (identity) => controller.call('GetParticipant', { room, identity });
  /** As its `update_participants_permission` gives and takes sources, by what is there. */
  const permit = async (identity, sources, grant) => {
    const { permission } = (await participants()).find((each) => each.identity === identity);
    const rest = permission.canPublishSources.filter((source) => !sources.includes(source));
    const canPublishSources = grant ? [...rest, ...sources] : rest;
    return controller.call('UpdateParticipant', { room, identity, permission: { canSubscribe: true, canPublish: true, canPublishData: false, canPublishSources } });
  };

  it('makes a room for whoever joins, over and over, and ends it once', async () => {
    room = name();
    await assert.rejects(join('early'), 'there is no room yet');
    const made = await create();
    assert.equal(made.name, room);
    const ada = await join('ada:1');
    assert.equal((await create()).sid, made.sid, 'the next one’s join changes nothing');
    assert.deepEqual((await controller.call('ListRooms', { names: [room] })).rooms.map((each) => [each.sid, each.numParticipants]), [[made.sid, 1]]);
    await controller.call('DeleteRoom', { room });
    await eventually('the end', async () => (await ada.ask('log')).includes('disconnected'));
    await assert.rejects(controller.call('DeleteRoom', { room }), refused('not_found', 404));
    // The room server’s tokens make the room that they are for.
    room = name();
    await join('bob:1', { roomCreate: true });
    assert.deepEqual((await participants()).map((each) => each.identity), ['bob:1']);
  });

  it('mutes microphones by force and nothing else, and removes whoever left, whatever tokens they had', async () => {
    room = name();
    await create();
    const [ada, bob] = [await join('ada:1'), await join('bob:1')];
    await bob.ask('publishTone', { hertz: HERTZ });
    await bob.ask('publishBars', { ...SMALL });
    assertTone(await ada.ask('heard', { identity: 'bob:1' }), HERTZ, 'Ada');
    for (const track of (await found('bob:1')).tracks.filter((each) => each.source === TrackSource.MICROPHONE)) {
      const { track: muted } = await controller.call('MutePublishedTrack', { room, identity: 'bob:1', trackSid: track.sid, muted: true });
      assert.deepEqual([muted.sid, muted.muted], [track.sid, true]);
    }
    await eventually('silence', async () => (await found('bob:1')).tracks.find((each) => each.source === TrackSource.MICROPHONE).muted);
    assertBars(await ada.ask('seen', { identity: 'bob:1' }), 'Ada');
    await assert.rejects(found('carol:1'), refused('not_found', 404));

    const kept = ticket('bob:1');
    await controller.call('RemoveParticipant', { room, identity: 'bob:1' });
    await eventually('his end', async () => (await bob.ask('log')).includes('disconnected'));
    await assert.rejects(bob.ask('connect', { url: server.ws, token: kept }), 'his token is no good any more');
    await assert.rejects(controller.call('RemoveParticipant', { room, identity: 'bob:1-popout1' }), refused('not_found', 404));
  });

  it('takes microphones from all but some and gives them back, and says who shares a screen', async () => {
    room = name();
    await create();
    const [ada, bob] = [await join('ada:1'), await join('bob:1', { canPublishSources: ['camera', 'microphone'] })];
    await bob.ask('publishTone', { hertz: HERTZ });
    assertTone(await ada.ask('heard', { identity: 'bob:1' }), HERTZ, 'Ada');
    const { CAMERA, MICROPHONE, SCREEN_SHARE, SCREEN_SHARE_AUDIO } = TrackSource;
    assert.deepEqual((await found('bob:1')).permission.canPublishSources, [CAMERA, MICROPHONE]);
    const restricted = await permit('bob:1', [MICROPHONE], false);
    assert.deepEqual([restricted.permission.canPublishSources, restricted.name], [[CAMERA], 'bob:1'], 'what is not said stays');
    await eventually('the end of his microphone', async () => (await other(ada, 'bob:1')).tracks.length === 0);
    await assert.rejects(bob.ask('publishTone', { hertz: HERTZ }));
    await permit('bob:1', [MICROPHONE], true);
    await eventually('his right', () => bob.ask('publishTone', { hertz: HERTZ }).then(() => true, () => false));
    const sharing = await permit('bob:1', [SCREEN_SHARE, SCREEN_SHARE_AUDIO], true);
    assert.deepEqual(sharing.permission.canPublishSources, [CAMERA, MICROPHONE, SCREEN_SHARE, SCREEN_SHARE_AUDIO]);
  });

  it('has windows that pop out, and recorders, see everyone and be seen by nobody', async () => {
    room = name();
    await create();
    const ada = await join('ada:1');
    await ada.ask('publishBars', { ...SMALL });
    const popout = await join('ada:1-popout1', { canPublish: false, canPublishSources: [], hidden: true });
    assertBars(await popout.ask('seen', { identity: 'ada:1' }), 'the window');
    await assert.rejects(popout.ask('publishTone', { hertz: HERTZ }));
    assert.equal(await other(ada, 'ada:1-popout1'), undefined);
    assert.deepEqual((await participants()).map((each) => each.identity).sort(), ['ada:1', 'ada:1-popout1'], 'its server knows of both');
  });

  it('leads browsers through its own paths to the signalling socket and its check', async () => {
    room = name();
    await create();
    const proxy = opened(await proxyAs('/signaling/livekit', server.url));
    const ada = await stage.join('chromium', room, 'ada:1', { url: `${proxy.url}/signaling/livekit`, token: ticket('ada:1') });
    const bob = await join('bob:1');
    await ada.ask('publishTone', { hertz: HERTZ });
    assertTone(await bob.ask('heard', { identity: 'ada:1' }), HERTZ, 'Bob');
    assert.ok(proxy.sockets > 0, 'it went through');
    const expired = controller.token({ roomJoin: true, room }, 'eve:1', '', -600);
    const check = (access) => fetch(`${proxy.url.replace('ws', 'http')}/signaling/livekit/rtc/validate?access_token=${access}`);
    assert.deepEqual([(await check(ticket('eve:1'))).status, (await check(expired)).status], [200, 401]);
  });
});
