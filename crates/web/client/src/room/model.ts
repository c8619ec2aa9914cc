// SPDX-License-Identifier: EUPL-1.2
/**
 * One stay in one room, from the join button to the end: people, pictures, sounds and the user's own switches.
 *
 * It stands over livekit-client and knows no view. Its promise to the views: whatever the network does, the state is
 * `reconnecting` until it is `connected` again, with the people who were there kept in place; it is `ended` only when the
 * user leaves or the server has said that there is nothing to come back to.
 */
import {
  ConnectionError,
  ConnectionErrorReason,
  ConnectionQuality,
  DisconnectReason,
  type LocalAudioTrack,
  type LocalVideoTrack,
  type Participant,
  ParticipantKind,
  type Room,
  RoomEvent,
  Track,
} from 'livekit-client';
import type { Consent } from '../consent.ts';
import { problemOf } from '../devices/media.ts';
import { JoinError, type Ticket } from '../join.ts';
import { Store } from '../store.ts';
import { cleanName } from '../text.ts';
import { ConsentKeeper } from './consent.ts';
import { MediaRegistry } from './media.ts';
import type { Ending, Person, Refusal, RoomState, Screen, Source } from './state.ts';

/** What the model needs from the world; tests give it another. */
export interface World {
  newRoom(): Room;
  ticket(): Promise<Ticket>;
  /** How it stands with the user's consent to being recorded; after `answer`, where there is one. */
  consent(ticket: Ticket, answer?: boolean): Promise<Consent>;
  /** Where the room's WebSocket is. */
  serverUrl: string;
  /** Makes something that can be published from a track that is already running. */
  localTrack(source: 'microphone' | 'camera', track: MediaStreamTrack): LocalAudioTrack | LocalVideoTrack;
  /** Resolves after so long, or earlier when the network seems to be back. */
  pause(ms: number): Promise<void>;
}

export interface Start {
  microphone: MediaStreamTrack | undefined;
  camera: MediaStreamTrack | undefined;
}

/** livekit-client has by then tried for half a minute by itself; from here on each try is a new join. */
const REJOIN_DELAYS_MS = [500, 1_000, 2_000, 4_000, 8_000];

const SOURCES = {
  microphone: Track.Source.Microphone,
  camera: Track.Source.Camera,
  screen: Track.Source.ScreenShare,
} as const;

/** All that can change what is shown. */
const EVENTS = [
  RoomEvent.ParticipantConnected,
  RoomEvent.ParticipantDisconnected,
  RoomEvent.ParticipantNameChanged,
  RoomEvent.TrackPublished,
  RoomEvent.TrackUnpublished,
  RoomEvent.TrackSubscribed,
  RoomEvent.TrackUnsubscribed,
  RoomEvent.TrackMuted,
  RoomEvent.TrackUnmuted,
  RoomEvent.LocalTrackPublished,
  RoomEvent.LocalTrackUnpublished,
  RoomEvent.ActiveSpeakersChanged,
  RoomEvent.ConnectionQualityChanged,
  RoomEvent.AudioPlaybackStatusChanged,
  RoomEvent.RecordingStatusChanged,
] as const;

const INITIAL: RoomState = {
  phase: 'connecting',
  ending: undefined,
  people: [],
  screens: [],
  recording: false,
  consent: undefined,
  consentFailed: false,
  sounds: [],
  soundBlocked: false,
  microphone: { on: false, changing: false },
  camera: { on: false, changing: false },
  screen: { on: false, changing: false },
  problem: undefined,
};

export class RoomModel extends Store<RoomState> {
  readonly #world: World;
  readonly #media = new MediaRegistry();
  readonly #consent: ConsentKeeper;
  #room: Room | undefined;
  /** What the user wants on; it outlives a connection. */
  readonly #wanted = { microphone: false, camera: false };
  /** Tracks on their way to the server; the user sees them at once. */
  readonly #pending = new Map<Source, LocalAudioTrack | LocalVideoTrack>();
  #refreshDue = false;

  constructor(world: World) {
    super(INITIAL);
    this.#world = world;
    this.#consent = new ConsentKeeper(world, (consent) => {
      if (!this.#ended) this.patch({ consent, consentFailed: false });
    });
  }

  /**
   * Joins with the tracks that are already running. On refusal the state is `ended`, and the tracks are left alone: they
   * are the model's from the moment on that it is `connected`.
   */
  async join(start: Start): Promise<void> {
    this.#wanted.microphone = start.microphone !== undefined;
    this.#wanted.camera = start.camera !== undefined;
    try {
      const room = await this.#connect();
      if (room === undefined) return;
      await Promise.all([
        this.#publish(room, 'microphone', start.microphone),
        this.#publish(room, 'camera', start.camera),
      ]);
    } catch (error) {
      this.#end({ kind: 'refused', refusal: refusalOf(error) });
    }
  }

  async leave(): Promise<void> {
    const room = this.#room;
    this.#end({ kind: 'left' });
    await room?.disconnect();
  }

  async setOn(source: Source, on: boolean): Promise<void> {
    if (source !== 'screen') this.#wanted[source] = on;
    const local = this.#room?.localParticipant;
    if (local === undefined || this.value[source].changing) return;
    this.patch({ [source]: { on, changing: true } });
    try {
      if (source === 'microphone') await local.setMicrophoneEnabled(on);
      if (source === 'camera') await local.setCameraEnabled(on);
      if (source === 'screen') await local.setScreenShareEnabled(on, { audio: true, contentHint: 'detail' });
      if (this.value.problem?.source === source) this.patch({ problem: undefined });
    } catch (error) {
      const problem = problemOf(error);
      // Whoever closes the browser's own choice of screens has changed their mind: that is no failure.
      if (source !== 'screen' || problem !== 'denied') this.patch({ problem: { source, problem } });
      if (source !== 'screen') this.#wanted[source] = false;
    } finally {
      this.patch({ [source]: { ...this.value[source], changing: false } });
      this.#refresh();
    }
  }

  /** Uses another device from now on, in this room. */
  async chooseDevice(kind: MediaDeviceKind, deviceId: string): Promise<void> {
    const source = kind === 'videoinput' ? 'camera' : 'microphone';
    try {
      await this.#room?.switchActiveDevice(kind, deviceId);
    } catch (error) {
      this.patch({ problem: { source, problem: problemOf(error) } });
    }
  }

  /** To be called from a press of a button, or the browser ignores it. */
  async startSound(): Promise<void> {
    await this.#room?.startAudio();
    this.#refresh();
  }

  /** Whether the user may be recorded. */
  async answerConsent(given: boolean): Promise<void> {
    try {
      await this.#consent.answer(given);
    } catch {
      if (!this.#ended) this.patch({ consentFailed: true });
    }
  }

  dismissProblem(): void {
    this.patch({ problem: undefined });
  }

  /** Nothing if the user left meanwhile. */
  async #connect(): Promise<Room | undefined> {
    const ticket = await this.#world.ticket();
    if (this.#ended) return undefined;
    const room = this.#world.newRoom();
    this.#observe(room);
    this.#room = room;
    try {
      await room.connect(this.#world.serverUrl, ticket.token);
    } catch (error) {
      this.#room = undefined;
      void room.disconnect();
      throw error;
    }
    if (this.#ended) {
      await room.disconnect();
      return undefined;
    }
    this.#consent.joined(ticket);
    this.patch({ phase: 'connected' });
    this.#refresh();
    return room;
  }

  #observe(room: Room): void {
    const current = (then: () => void) => () => {
      if (room === this.#room && !this.#ended) then();
    };
    const later = current(() => this.#refreshSoon());
    for (const event of EVENTS) room.on(event, later);
    const reconnecting = current(() => this.patch({ phase: 'reconnecting' }));
    room.on(RoomEvent.SignalReconnecting, reconnecting);
    room.on(RoomEvent.Reconnecting, reconnecting);
    room.on(
      RoomEvent.Reconnected,
      current(() => {
        this.patch({ phase: 'connected' });
        this.#refresh();
      }),
    );
    room.on(RoomEvent.Disconnected, (reason) => {
      if (room !== this.#room || this.#ended || this.value.phase === 'connecting') return;
      const ending = endingOf(reason);
      if (ending === undefined) void this.#rejoin();
      else this.#end(ending);
    });
  }

  async #publish(
    room: Room,
    source: 'microphone' | 'camera',
    track: MediaStreamTrack | undefined,
  ): Promise<void> {
    if (track === undefined) return;
    try {
      const local = this.#world.localTrack(source, track);
      this.#pending.set(source, local);
      this.#refresh();
      await room.localParticipant.publishTrack(local, { source: SOURCES[source] });
      this.#pending.delete(source);
      // The user may have pressed the switch before there was anything to switch.
      if (!this.#wanted[source]) await this.setOn(source, false);
    } catch (error) {
      track.stop();
      if (room === this.#room && !this.#ended) {
        this.patch({ problem: { source, problem: problemOf(error) } });
      }
    } finally {
      this.#pending.delete(source);
      this.#refresh();
    }
  }

  /** The connection is gone for good: join anew, for as long as the user stays. */
  async #rejoin(): Promise<void> {
    this.#room = undefined;
    this.patch({ phase: 'reconnecting' });
    for (let attempt = 0; !this.#ended; attempt++) {
      const delay = REJOIN_DELAYS_MS[Math.min(attempt, REJOIN_DELAYS_MS.length - 1)] ?? 0;
      await this.#world.pause(delay);
      if (this.#ended) return;
      try {
        const room = await this.#connect();
        if (room === undefined) return;
        // The old tracks ended with the old connection. A screen can't be asked for without the user.
        if (this.#wanted.microphone) void this.setOn('microphone', true);
        if (this.#wanted.camera) void this.setOn('camera', true);
        return;
      } catch (error) {
        const refusal = refusalOf(error);
        if (refusal === 'not_allowed' || refusal === 'bad_name') this.#end({ kind: 'refused', refusal });
      }
    }
  }

  get #ended(): boolean {
    return this.value.phase === 'ended';
  }

  #end(ending: Ending): void {
    if (this.#ended) return;
    this.#room = undefined;
    this.#consent.joined(undefined);
    this.set({ ...INITIAL, phase: 'ended', ending });
  }

  /** Many events come at once; the views see their sum. */
  #refreshSoon(): void {
    if (this.#refreshDue) return;
    this.#refreshDue = true;
    queueMicrotask(() => {
      this.#refreshDue = false;
      this.#refresh();
    });
  }

  #refresh(): void {
    const room = this.#room;
    if (room === undefined || this.#ended || this.value.phase === 'connecting') return;
    const others = byArrival(room.remoteParticipants.values());
    // Who records is no face among the others: the mark says that it is there.
    const participants = [room.localParticipant, ...others.filter((p) => !records(p))];
    const live = participants.map((p) => this.#person(p));
    const screens = participants.map((p) => this.#screen(p)).filter((s) => s !== undefined);
    const sounds = [...room.remoteParticipants.values()]
      .flatMap((p) => [...p.audioTrackPublications.values()])
      .map((publication) => publication.track)
      .filter((track) => track !== undefined)
      .map((track) => this.#media.sound(track));
    const recording = room.isRecording || others.some(records);
    this.#consent.recording(recording);
    const gone = this.value.phase === 'reconnecting';
    const local = room.localParticipant;
    const on = (source: Source) => {
      if (source !== 'screen' && this.#pending.has(source)) return this.#wanted[source];
      const publication = local.getTrackPublication(SOURCES[source]);
      return publication !== undefined && !publication.isMuted;
    };
    const settle = (source: Source) =>
      this.value[source].changing ? this.value[source] : { on: on(source), changing: false };
    this.patch({
      people: gone ? keepMissing(this.value.people, live) : live,
      screens: gone && screens.length === 0 ? this.value.screens : screens,
      recording,
      sounds,
      soundBlocked: !room.canPlaybackAudio,
      microphone: settle('microphone'),
      camera: settle('camera'),
      screen: settle('screen'),
    });
  }

  #person(participant: Participant): Person {
    const microphone = participant.getTrackPublication(Track.Source.Microphone);
    const camera = participant.getTrackPublication(Track.Source.Camera);
    const pending = (source: Source) => (participant.isLocal ? this.#pending.get(source) : undefined);
    const track = camera === undefined ? pending('camera') : camera.isMuted ? undefined : camera.videoTrack;
    const muted = microphone === undefined ? !pending('microphone') : microphone.isMuted;
    return {
      identity: participant.identity,
      name: cleanName(participant.name ?? ''),
      isLocal: participant.isLocal,
      speaking: participant.isSpeaking && !muted,
      muted,
      connection: connectionOf(participant.connectionQuality),
      camera: track && this.#media.picture(track),
    };
  }

  #screen(participant: Participant): Screen | undefined {
    const publication = participant.getTrackPublication(Track.Source.ScreenShare);
    const track = publication?.videoTrack;
    if (track === undefined || publication?.isMuted === true) return undefined;
    return {
      id: `screen:${participant.identity}`,
      identity: participant.identity,
      name: cleanName(participant.name ?? ''),
      isLocal: participant.isLocal,
      picture: this.#media.picture(track),
    };
  }
}

function records(participant: Participant): boolean {
  return participant.kind === ParticipantKind.EGRESS;
}

function byArrival(participants: Iterable<Participant>): Participant[] {
  const time = (p: Participant) => p.joinedAt?.getTime() ?? 0;
  return [...participants].sort((a, b) => time(a) - time(b) || (a.identity < b.identity ? -1 : 1));
}

/** While the connection is gone, those who were there stay where they were, with the last that was seen of them. */
function keepMissing(before: readonly Person[], live: readonly Person[]): Person[] {
  const found = new Map(live.map((p) => [p.identity, p]));
  const local = live.find((p) => p.isLocal);
  const kept = before.map((p) => {
    const now = p.isLocal ? local : found.get(p.identity);
    if (now !== undefined) found.delete(now.identity);
    return { ...(now ?? { ...p, speaking: false }), camera: now?.camera ?? p.camera };
  });
  return [...kept, ...found.values()];
}

function connectionOf(quality: ConnectionQuality): Person['connection'] {
  if (quality === ConnectionQuality.Lost) return 'lost';
  return quality === ConnectionQuality.Poor ? 'weak' : 'good';
}

/** Nothing where coming back makes sense: the network's faults, and a server that restarts. */
function endingOf(reason: DisconnectReason | undefined): Ending | undefined {
  switch (reason) {
    case DisconnectReason.CLIENT_INITIATED:
      return { kind: 'left' };
    case DisconnectReason.DUPLICATE_IDENTITY:
      return { kind: 'elsewhere' };
    case DisconnectReason.PARTICIPANT_REMOVED:
      return { kind: 'removed' };
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return { kind: 'closed' };
    default:
      return undefined;
  }
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof JoinError) return error.refusal;
  if (!(error instanceof ConnectionError)) return 'other';
  switch (error.reason) {
    case ConnectionErrorReason.NotAllowed:
      return 'not_allowed';
    case ConnectionErrorReason.ServerUnreachable:
    case ConnectionErrorReason.WebSocket:
    case ConnectionErrorReason.Timeout:
      return 'unreachable';
    // What livekit-client reports when the peer connection does not come up.
    case ConnectionErrorReason.InternalError:
      return 'media';
    default:
      return 'other';
  }
}
