// SPDX-License-Identifier: EUPL-1.2
import { ConnectionError, ConnectionQuality, DisconnectReason, ParticipantKind, RoomEvent, Track, VideoQuality } from 'livekit-client';
import { expect, test } from 'vitest';
import type { Consent } from '../src/consent.ts';
import { JoinError } from '../src/join.ts';
import { RoomModel } from '../src/room/model.ts';
import { FakeRoom } from './fake-room.ts';

const TRACK = { stop: () => undefined } as unknown as MediaStreamTrack;
const NOTHING = { microphone: undefined, camera: undefined };
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A model over rooms that the test prepares: each connection takes the next one. */
function setUp(...rooms: FakeRoom[]) {
  const fresh = rooms.length === 0 ? [new FakeRoom()] : rooms;
  const pauses: { ms: number; end: () => void }[] = [];
  const tickets: (Error | undefined)[] = [];
  /** What the server was told of consent; undefined where it was only asked. */
  const consents: (boolean | undefined)[] = [];
  const unheard: boolean[] = [];
  let consent: Consent;
  const asks = () => (consent = 'asked');
  let used = 0;
  const model = new RoomModel({
    serverUrl: 'ws://here',
    newRoom: () => (fresh[used++] ?? new FakeRoom()).room,
    ticket: async () => {
      const refusal = tickets.shift();
      if (refusal !== undefined) throw refusal;
      return { token: 'token', identity: 'me', room: 'r' };
    },
    consent: async (_, answer) => {
      consents.push(answer);
      if (unheard.shift() === true) throw new Error('unheard');
      return answer === undefined ? consent : answer ? 'given' : 'refused';
    },
    localTrack: () => ({}) as never,
    pause: (ms) => new Promise((end) => pauses.push({ ms, end: () => end() })),
  });
  const first = fresh[0] as FakeRoom;
  const names = () => model.value.people.map((p) => p.identity);
  return { model, room: first, tickets, pauses, names, consents, unheard, asks };
}

test('joining shows oneself first, then the others by arrival', async () => {
  const { model, room, names } = setUp();
  room.enter('later', 20);
  room.enter('early', 10);
  await model.join(NOTHING);
  expect(room.connectedWith).toEqual(['ws://here', 'token']);
  expect(model.value.phase).toBe('connected');
  expect(names()).toEqual(['me', 'early', 'later']);
  expect(model.value.people[0]).toMatchObject({ isLocal: true, name: 'Me' });
});

test('tracks that already run are published and shown as on', async () => {
  const { model, room } = setUp();
  await model.join({ microphone: TRACK, camera: TRACK });
  expect(room.localParticipant.calls).toEqual(['publish microphone', 'publish camera']);
  expect(model.value.microphone.on).toBe(true);
  expect(model.value.camera.on).toBe(true);
});

test('a microphone that is turned off on its way to the server is off when it is there, however often it was pressed', async () => {
  for (const presses of [[false], [false, true, false], [false, true]]) {
    const { model, room } = setUp();
    let arrive = (): void => undefined;
    room.localParticipant.publishes = new Promise((resolve) => (arrive = resolve));
    const joined = model.join({ microphone: TRACK, camera: undefined });
    await settled();
    const pressed = presses.map((on) => model.setOn('microphone', on));
    await settled();
    arrive();
    await Promise.all([joined, ...pressed]);
    const last = presses.at(-1);
    expect(room.localParticipant.getTrackPublication(Track.Source.Microphone)?.isMuted).toBe(!last);
    expect(model.value.microphone).toEqual({ on: last, changing: false });
    expect(room.localParticipant.ownTracks, 'no second track is taken').toEqual([]);
  }
});

test('a switch that is pressed again while it is being thrown ends as it was pressed last', async () => {
  for (const presses of [[true, false], [true, false, true]]) {
    const { model, room } = setUp();
    await model.join(NOTHING);
    await Promise.all(presses.map((on) => model.setOn('microphone', on)));
    const last = presses.at(-1);
    expect(room.localParticipant.getTrackPublication(Track.Source.Microphone)?.isMuted).toBe(!last);
    expect(model.value.microphone).toEqual({ on: last, changing: false });
  }
});

test('the own picture is there before the server has taken it', async () => {
  const { model } = setUp();
  const seen: boolean[] = [];
  model.subscribe((s) => s.people[0] && seen.push(s.people[0].camera !== undefined));
  await model.join({ ...NOTHING, camera: TRACK });
  expect(seen.lastIndexOf(false)).toBeLessThan(seen.indexOf(true));
  expect(model.value.people[0]?.camera).toBeDefined();
});

test('a microphone that is switched off while it is being published ends up off', async () => {
  const { model, room } = setUp();
  const joining = model.join({ ...NOTHING, microphone: TRACK });
  while (model.value.phase !== 'connected') await Promise.resolve();
  void model.setOn('microphone', false);
  await joining;
  await settled();
  expect(room.localParticipant.calls.at(-1)).toBe('microphone off');
  expect(model.value.microphone).toEqual({ on: false, changing: false });
});

test('pictures, sounds and screens of others come and go', async () => {
  const { model, room } = setUp();
  await model.join(NOTHING);
  const ada = room.enter('ada');
  const camera = ada.publish(Track.Source.Camera);
  ada.publish(Track.Source.Microphone);
  ada.publish(Track.Source.ScreenShare);
  room.emit(RoomEvent.TrackSubscribed);
  await settled();
  const { people, screens, sounds } = model.value;
  expect(people[1]).toMatchObject({ identity: 'ada', muted: false });
  expect(screens).toMatchObject([{ identity: 'ada', isLocal: false }]);
  expect(sounds).toHaveLength(1);

  const picture = people[1]?.camera;
  const element = {} as HTMLVideoElement;
  const detach = picture?.attach(element);
  expect(camera.track?.attached).toEqual([element]);
  detach?.();
  expect(camera.track?.attached).toEqual([]);

  camera.isMuted = true;
  room.emit(RoomEvent.TrackMuted);
  await settled();
  expect(model.value.people[1]?.camera).toBeUndefined();
  camera.isMuted = false;
  room.emit(RoomEvent.TrackUnmuted);
  await settled();
  expect(model.value.people[1]?.camera).toBe(picture);
  room.exit('ada');
  await settled();
  expect(model.value.people).toHaveLength(1);
});

test('speaking and the state of the connection are shown; whoever is muted does not speak', async () => {
  const { model, room } = setUp();
  await model.join(NOTHING);
  const ada = room.enter('ada');
  const microphone = ada.publish(Track.Source.Microphone);
  ada.isSpeaking = true;
  ada.connectionQuality = ConnectionQuality.Poor;
  room.emit(RoomEvent.ActiveSpeakersChanged);
  await settled();
  expect(model.value.people[1]).toMatchObject({ speaking: true, connection: 'weak' });
  microphone.isMuted = true;
  ada.connectionQuality = ConnectionQuality.Lost;
  room.emit(RoomEvent.ConnectionQualityChanged);
  await settled();
  expect(model.value.people[1]).toMatchObject({ speaking: false, muted: true, connection: 'lost' });
});

test('row 46: a name from the server is shown without what would turn the text around it', async () => {
  const { model, room } = setUp();
  await model.join(NOTHING);
  room.enter('eve').name = '\u202eevE <b>\u0000';
  room.emit(RoomEvent.ParticipantNameChanged);
  await settled();
  expect(model.value.people[1]?.name).toBe('evE <b>');
});

test('events of one moment are one change', async () => {
  const { model, room } = setUp();
  await model.join(NOTHING);
  let changes = -1;
  model.subscribe(() => changes++);
  for (let i = 0; i < 50; i++) room.enter(`p${i}`);
  await settled();
  expect(changes).toBe(1);
  expect(model.value.people).toHaveLength(51);
});

test('a camera that cannot be started is a problem in words, and the next success clears it', async () => {
  const { model, room } = setUp();
  await model.join(NOTHING);
  room.localParticipant.failure = new DOMException('', 'NotReadableError');
  await model.setOn('camera', true);
  expect(model.value.problem).toEqual({ source: 'camera', problem: 'busy' });
  expect(model.value.camera).toEqual({ on: false, changing: false });
  await model.setOn('camera', true);
  expect(model.value.problem).toBeUndefined();
  expect(model.value.camera.on).toBe(true);
});

test('closing the browser’s choice of screens is no failure', async () => {
  const { model, room } = setUp();
  await model.join(NOTHING);
  room.localParticipant.failure = new DOMException('', 'NotAllowedError');
  await model.setOn('screen', true);
  expect(model.value.problem).toBeUndefined();
  expect(model.value.screen.on).toBe(false);
});

test.each([
  [new JoinError('room_full', ''), 'room_full'],
  [new JoinError('bad_name', ''), 'bad_name'],
  [new Error('boom'), 'other'],
])('a ticket that is refused ends the stay: %s', async (error, refusal) => {
  const { model, tickets } = setUp();
  tickets.push(error);
  await model.join({ microphone: TRACK, camera: TRACK });
  expect(model.value).toMatchObject({ phase: 'ended', ending: { kind: 'refused', refusal } });
});

test.each([
  [ConnectionError.serverUnreachable('x'), 'unreachable'],
  [ConnectionError.notAllowed('x', 403), 'not_allowed'],
  [ConnectionError.internal('no peer connection'), 'media'],
])('a connection that is refused ends the stay: %s', async (error, refusal) => {
  const { model, room } = setUp();
  room.refusal = error;
  await model.join(NOTHING);
  expect(model.value).toMatchObject({ phase: 'ended', ending: { kind: 'refused', refusal } });
});

test('while the connection is gone, everyone stays in their place', async () => {
  const { model, room, names } = setUp();
  await model.join(NOTHING);
  room.enter('ada', 1).isSpeaking = true;
  room.enter('bob', 2);
  await settled();
  room.emit(RoomEvent.Reconnecting);
  room.exit('ada');
  await settled();
  expect(model.value.phase).toBe('reconnecting');
  expect(names()).toEqual(['me', 'ada', 'bob']);
  expect(model.value.people[1]?.speaking).toBe(false);
  room.emit(RoomEvent.Reconnected);
  expect(model.value.phase).toBe('connected');
  expect(names()).toEqual(['me', 'bob']);
});

test('when livekit-client gives up, the model joins anew for as long as it takes', async () => {
  const second = new FakeRoom();
  const { model, room, tickets, pauses, names } = setUp(new FakeRoom(), second);
  await model.join({ microphone: TRACK, camera: undefined });
  room.enter('ada');
  await settled();
  tickets.push(new JoinError('unreachable', ''), new JoinError('draining', ''));
  room.drop(undefined);
  expect(model.value.phase).toBe('reconnecting');
  for (let attempt = 0; attempt < 3; attempt++) {
    expect(names()).toEqual(['me', 'ada']);
    pauses[attempt]?.end();
    await settled();
  }
  expect(pauses.map((p) => p.ms)).toEqual([500, 1_000, 2_000]);
  expect(model.value.phase).toBe('connected');
  expect(second.localParticipant.calls).toEqual(['microphone on']);
  expect(names()).toEqual(['me']);
});

test('leaving ends the reconnecting, and nothing joins after it', async () => {
  const second = new FakeRoom();
  const { model, room, pauses } = setUp(new FakeRoom(), second);
  await model.join(NOTHING);
  room.drop(DisconnectReason.SERVER_SHUTDOWN);
  expect(model.value.phase).toBe('reconnecting');
  await model.leave();
  pauses[0]?.end();
  await settled();
  expect(model.value).toMatchObject({ phase: 'ended', ending: { kind: 'left' } });
  expect(second.connectedWith).toEqual([]);
});

test.each([
  [DisconnectReason.PARTICIPANT_REMOVED, 'removed'],
  [DisconnectReason.ROOM_DELETED, 'closed'],
  [DisconnectReason.DUPLICATE_IDENTITY, 'elsewhere'],
])('the server’s reason %s ends the stay', async (reason, kind) => {
  const { model, room, pauses } = setUp();
  await model.join(NOTHING);
  room.drop(reason);
  expect(model.value).toMatchObject({ phase: 'ended', ending: { kind }, people: [] });
  expect(pauses).toEqual([]);
});

test('sound that the browser holds back is told', async () => {
  const { model, room } = setUp();
  await model.join(NOTHING);
  room.canPlaybackAudio = false;
  room.emit(RoomEvent.AudioPlaybackStatusChanged);
  await settled();
  expect(model.value.soundBlocked).toBe(true);
});

test('whoever records is a mark and no face, from the first moment on', async () => {
  const { model, room, names } = setUp();
  room.enter('ada', 10);
  await model.join(NOTHING);
  expect(model.value.recording).toBe(false);
  const recorder = room.enter('EG_1', 20);
  recorder.kind = ParticipantKind.EGRESS;
  await settled();
  expect(model.value.recording).toBe(true);
  expect(names()).toEqual(['me', 'ada']);
  room.remoteParticipants.delete('EG_1');
  room.isRecording = true;
  room.emit(RoomEvent.RecordingStatusChanged, true);
  await settled();
  expect(model.value.recording).toBe(true);
  room.isRecording = false;
  room.emit(RoomEvent.RecordingStatusChanged, false);
  await settled();
  expect(model.value.recording).toBe(false);
});

test('who is asked for consent answers once, also for a connection that comes later', async () => {
  const [first, second] = [new FakeRoom(), new FakeRoom()];
  const { model, consents, pauses, asks } = setUp(first, second);
  asks();
  await model.join(NOTHING);
  await settled();
  expect(consents, 'nothing is recorded yet').toEqual([]);
  first.isRecording = true;
  first.emit(RoomEvent.RecordingStatusChanged, true);
  await settled();
  expect(model.value.consent).toBe('asked');
  first.emit(RoomEvent.ParticipantConnected);
  await settled();
  expect(consents, 'each connection asks once').toEqual([undefined]);
  await model.answerConsent(true);
  expect(model.value.consent).toBe('given');
  await model.answerConsent(false);
  expect(model.value.consent).toBe('refused');
  second.isRecording = true;
  first.drop(DisconnectReason.STATE_MISMATCH);
  pauses.at(-1)?.end();
  await settled();
  await settled();
  expect(consents).toEqual([undefined, true, false, undefined, false]);
  expect(model.value.consent).toBe('refused');
});

test('an answer that did not arrive is none, and says so', async () => {
  const { model, room, consents, unheard, pauses, asks } = setUp();
  asks();
  room.isRecording = true;
  unheard.push(true, false, true, false);
  await model.join(NOTHING);
  await settled();
  expect(model.value.consent, 'not even the question came').toBeUndefined();
  pauses.at(-1)?.end();
  await settled();
  expect(model.value.consent).toBe('asked');
  await model.answerConsent(true);
  expect(model.value).toMatchObject({ consent: 'asked', consentFailed: true });
  await model.answerConsent(true);
  expect(model.value).toMatchObject({ consent: 'given', consentFailed: false });
  expect(consents).toEqual([undefined, undefined, true, true]);
});

test('nobody is asked where the room does not ask', async () => {
  const { model, room, consents } = setUp();
  room.isRecording = true;
  await model.join(NOTHING);
  await settled();
  expect(consents).toEqual([undefined]);
  expect(model.value.consent).toBeUndefined();
});

test('of those who are heard, the loudest is first, and oneself is not among them', async () => {
  const { model, room } = setUp();
  await model.join(NOTHING);
  for (const [identity, level] of [['ada', 0.2], ['bo', 0.7], ['cem', 0]] as const) {
    const one = room.enter(identity);
    one.isSpeaking = level > 0;
    one.audioLevel = level;
  }
  room.localParticipant.isSpeaking = true;
  room.emit(RoomEvent.ActiveSpeakersChanged);
  await settled();
  expect(model.value.speakers).toEqual(['bo', 'ada']);
});

test('sound only: no picture is subscribed to, of those who come later neither, and the own camera goes off', async () => {
  const { model, room } = setUp();
  await model.join({ ...NOTHING, camera: TRACK });
  const camera = room.enter('ada').publish(Track.Source.Camera);
  await settled();
  await model.setSaving('audio');
  expect(camera.isDesired).toBe(false);
  expect(model.value.people[1]?.camera).toBeUndefined();
  expect(model.value.camera.on).toBe(false);
  const bo = room.enter('bo');
  const [later, screen, microphone] = [Track.Source.Camera, Track.Source.ScreenShare, Track.Source.Microphone].map((source) => bo.publish(source));
  room.emit(RoomEvent.TrackPublished);
  await settled();
  expect([later?.isDesired, screen?.isDesired, microphone?.isDesired]).toEqual([false, false, true]);
  expect(model.value.screens).toEqual([]);

  await model.setSaving('off');
  await settled();
  expect([camera, later, screen].map((each) => each?.isDesired)).toEqual([true, true, true]);
  expect(model.value.camera.on).toBe(false);
});

test('saving data: cameras come small, screens as they are', async () => {
  const { model, room } = setUp();
  await model.join(NOTHING);
  const ada = room.enter('ada');
  const [camera, screen] = [ada.publish(Track.Source.Camera), ada.publish(Track.Source.ScreenShare)];
  await settled();
  await model.setSaving('saver');
  expect([camera.videoQuality, screen.videoQuality]).toEqual([VideoQuality.LOW, VideoQuality.HIGH]);
  await model.setSaving('off');
  expect(camera.videoQuality).toBe(VideoQuality.HIGH);
});

test('between two tries to come back the user knows when the next is, and need not wait for it', async () => {
  const [first, second] = [new FakeRoom(), new FakeRoom()];
  const { model, tickets, pauses } = setUp(first, second);
  await model.join(NOTHING);
  tickets.push(new JoinError('unreachable', 'x'));
  first.drop(DisconnectReason.UNKNOWN_REASON);
  await settled();
  expect(model.value.phase).toBe('reconnecting');
  expect(model.value.retryAt).toBeGreaterThan(Date.now());
  model.retryNow();
  await settled();
  expect(pauses.map(({ ms }) => ms)).toEqual([500, 1_000]);
  expect(model.value.phase).toBe('reconnecting');
  model.retryNow();
  await settled();
  expect(model.value.phase).toBe('connected');
  expect(model.value.retryAt).toBeUndefined();
});
