// SPDX-License-Identifier: EUPL-1.2
/**
 * One stay in one room, from the join button to the end: people, pictures, sounds and the user's own switches.
 *
 * It stands over livekit-client and knows no view. Its promise to the views: whatever the network does, the state is
 * `reconnecting` until it is `connected` again, with the people who were there kept in place; it is `ended` only when the
 * user leaves or the server has said that there is nothing to come back to.
 */
import {
  type LocalAudioTrack,
  type LocalVideoTrack,
  type Participant,
  type Room,
  RoomEvent,
  Track,
} from 'livekit-client';
import type { Consent } from '../consent.ts';
import { problemOf } from '../devices/media.ts';
import type { Decryption, Encryption } from '../e2ee/session.ts';
import { isFinal, type Ticket } from '../join.ts';
import { Store } from '../store.ts';
import { cleanName } from '../text.ts';
import { ConsentKeeper } from './consent.ts';
import { MediaRegistry } from './media.ts';
import { byArrival, connectionOf, endingOf, keepMissing, levelOf, records, refusalOf } from './meanings.ts';
import { applySaving, isUnwanted } from './saving.ts';
import type { Ending, Person, RoomState, Saving, Screen, Source } from './state.ts';
import { type Counters, countersOf } from './stats.ts';

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
  /** Does to a track what must be done before it is sent; fails where it must not be sent. */
  prepare?(track: LocalAudioTrack | LocalVideoTrack): Promise<void>;
  /** Resolves after so long, or earlier when the network seems to be back. */
  pause(ms: number): Promise<void>;
  /** In an encrypted meeting. */
  encryption?: Pick<Encryption, 'prepare' | 'observe' | 'of' | 'guards' | 'close'> | undefined;
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
  speakers: [],
  screens: [],
  recording: false,
  consent: undefined,
  consentFailed: false,
  sounds: [],
  soundBlocked: false,
  saving: 'off',
  retryAt: undefined,
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
  readonly #publishing = new Map<Source, Promise<unknown>>();
  #refreshDue = false;
  /** Ends the wait for the next try to join. */
  #retry: () => void = () => undefined;

  constructor(world: World) {
    super(INITIAL);
    this.#world = world;
    world.encryption?.observe(() => this.#refreshSoon());
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
    // What is under way takes note of what is wanted when it is done.
    if (local === undefined || this.value[source].changing) return;
    this.patch({ [source]: { on, changing: true } });
    try {
      // A track that is on its way can't be switched yet: the library would pass over that in silence.
      await this.#publishing.get(source);
      for (let now = on, done = false; !done; ) {
        if (source === 'microphone') await local.setMicrophoneEnabled(now);
        if (source === 'camera') await local.setCameraEnabled(now);
        if (source === 'screen') await local.setScreenShareEnabled(now, { audio: true, contentHint: 'detail' });
        const next = source === 'screen' ? now : this.#wanted[source];
        done = next === now;
        if (!done) this.patch({ [source]: { on: next, changing: true } });
        now = next;
      }
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

  /** How much is to come by the network. Less than all turns the own camera off as well; it is not turned on again by itself. */
  async setSaving(saving: Saving): Promise<void> {
    this.patch({ saving });
    this.#refresh();
    if (saving !== 'off' && this.value.camera.on) await this.setOn('camera', false);
  }

  /** Joins at once rather than at `retryAt`. */
  retryNow(): void {
    this.#retry();
  }

  /** What the microphone gives, on or off; nothing where there is none. */
  get microphoneTrack(): MediaStreamTrack | undefined {
    return this.#room?.localParticipant.getTrackPublication(Track.Source.Microphone)?.track?.mediaStreamTrack;
  }

  /** How loud the loudest of the others is played now: root mean square, from 0 to 1. */
  get othersLevel(): number {
    const levels = [...(this.#room?.remoteParticipants.values() ?? [])]
      .flatMap((p) => [...p.audioTrackPublications.values()])
      .map((publication) => levelOf(publication.track));
    return Math.max(0, ...levels);
  }

  /** What the browser has counted of each track until now. */
  async counters(): Promise<Counters[]> {
    const room = this.#room;
    if (room === undefined) return [];
    const all = [room.localParticipant, ...room.remoteParticipants.values()].flatMap((participant) =>
      [...participant.trackPublications.values()].map((publication) => ({ participant, publication })),
    );
    const counted = all.map(async ({ participant, publication }) => {
      const report = await publication.track?.getRTCStatsReport().catch(() => undefined);
      if (report === undefined) return undefined;
      return countersOf(report, {
        identity: participant.identity,
        name: cleanName(participant.name ?? ''),
        isLocal: participant.isLocal,
        source: publication.source,
      });
    });
    return (await Promise.all(counted)).filter((each) => each !== undefined);
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
      await this.#world.encryption?.prepare(room);
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
      await this.#world.prepare?.(local);
      const published = room.localParticipant.publishTrack(local, { source: SOURCES[source] });
      this.#publishing.set(source, published.catch(() => undefined));
      await published;
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
      this.#publishing.delete(source);
      this.#refresh();
    }
  }

  /** The connection is gone for good: join anew, for as long as the user stays. */
  async #rejoin(): Promise<void> {
    this.#room = undefined;
    this.patch({ phase: 'reconnecting' });
    for (let attempt = 0; !this.#ended; attempt++) {
      const delay = REJOIN_DELAYS_MS[Math.min(attempt, REJOIN_DELAYS_MS.length - 1)] ?? 0;
      this.patch({ retryAt: Date.now() + delay });
      await Promise.race([this.#world.pause(delay), new Promise<void>((resolve) => (this.#retry = resolve))]);
      if (this.#ended) return;
      this.patch({ retryAt: undefined });
      try {
        const room = await this.#connect();
        if (room === undefined) return;
        // The old tracks ended with the old connection. A screen can't be asked for without the user.
        if (this.#wanted.microphone) void this.setOn('microphone', true);
        if (this.#wanted.camera) void this.setOn('camera', true);
        return;
      } catch (error) {
        const refusal = refusalOf(error);
        if (isFinal(refusal)) this.#end({ kind: 'refused', refusal });
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
    this.#world.encryption?.close();
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
    applySaving([...room.remoteParticipants.values()], this.value.saving);
    const live = participants.map((p) => this.#person(p));
    const screens = participants.map((p) => this.#screen(p)).filter((s) => s !== undefined);
    const sounds = [...room.remoteParticipants.values()]
      .flatMap((p) => [...p.audioTrackPublications.values()])
      .map((publication) => publication.track)
      .filter((track) => track !== undefined && this.#mayPlay(track))
      .map((track) => this.#media.sound(track as Track));
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
      speakers: others
        .filter((p) => p.isSpeaking && !records(p))
        .sort((a, b) => b.audioLevel - a.audioLevel)
        .map((p) => p.identity),
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
    const track = camera === undefined ? pending('camera') : camera.isMuted || isUnwanted(camera) ? undefined : camera.videoTrack;
    const muted = microphone === undefined ? !pending('microphone') : microphone.isMuted;
    return {
      identity: participant.identity,
      name: cleanName(participant.name ?? ''),
      isLocal: participant.isLocal,
      speaking: participant.isSpeaking && !muted,
      muted,
      connection: connectionOf(participant.connectionQuality),
      camera: track && this.#mayPlay(track) ? this.#media.picture(track) : undefined,
      encryption: this.#decryption(participant),
    };
  }

  /** In an encrypted meeting nothing is handed to a view that the decryption does not stand before. */
  #mayPlay(track: Track): boolean {
    return track.isLocal || (this.#world.encryption?.guards(track) ?? true);
  }

  /** How it stands with all that comes from someone: a single track that can't be decrypted is enough to say so. */
  #decryption(participant: Participant): Decryption | undefined {
    const encryption = this.#world.encryption;
    if (encryption === undefined) return undefined;
    if (participant.isLocal) return 'open';
    const tracks = [...participant.trackPublications.values()].map(({ track }) => track).filter((t) => t !== undefined);
    const all = tracks.map((track) => encryption.of(track));
    return all.includes('closed') ? 'closed' : all.includes('open') ? 'open' : 'waiting';
  }

  #screen(participant: Participant): Screen | undefined {
    const publication = participant.getTrackPublication(Track.Source.ScreenShare);
    const track = publication?.videoTrack;
    if (publication === undefined || track === undefined || publication.isMuted || isUnwanted(publication)) return undefined;
    if (!this.#mayPlay(track)) return undefined;
    return {
      id: `screen:${participant.identity}`,
      identity: participant.identity,
      name: cleanName(participant.name ?? ''),
      isLocal: participant.isLocal,
      picture: this.#media.picture(track),
    };
  }
}
