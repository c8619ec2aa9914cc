// SPDX-License-Identifier: EUPL-1.2
/** As much of livekit-client's `Room` as the model uses, driven by the test. */
import { EventEmitter } from 'node:events';
import { ConnectionQuality, DisconnectReason, ParticipantKind, type Room, RoomEvent, Track, VideoQuality } from 'livekit-client';

export class FakePublication {
  isMuted = false;
  isDesired = true;
  videoQuality = VideoQuality.HIGH;
  constructor(
    readonly source: Track.Source,
    readonly track: FakeMediaTrack | undefined = new FakeMediaTrack(),
  ) {}
  get videoTrack(): FakeMediaTrack | undefined {
    return this.track;
  }
  get kind(): Track.Kind {
    return this.source === Track.Source.Camera || this.source === Track.Source.ScreenShare ? Track.Kind.Video : Track.Kind.Audio;
  }
  setSubscribed(yes: boolean): void {
    this.isDesired = yes;
  }
  setVideoQuality(quality: VideoQuality): void {
    this.videoQuality = quality;
  }
}

export class FakeMediaTrack {
  readonly attached: unknown[] = [];
  attach(element: unknown): void {
    this.attached.push(element);
  }
  detach(element: unknown): void {
    this.attached.splice(this.attached.indexOf(element), 1);
  }
}

export class FakeParticipant {
  isSpeaking = false;
  audioLevel = 0;
  kind = ParticipantKind.STANDARD;
  connectionQuality = ConnectionQuality.Excellent;
  readonly publications = new Map<Track.Source, FakePublication>();

  constructor(
    readonly identity: string,
    public name: string,
    readonly isLocal: boolean,
    readonly joinedAt = new Date(0),
  ) {}

  get trackPublications(): Map<string, FakePublication> {
    return this.publications;
  }

  get audioTrackPublications(): Map<string, FakePublication> {
    const audio = [...this.publications.values()].filter(
      (p) => p.source === Track.Source.Microphone || p.source === Track.Source.ScreenShareAudio,
    );
    return new Map(audio.map((p) => [p.source, p]));
  }

  getTrackPublication(source: Track.Source): FakePublication | undefined {
    return this.publications.get(source);
  }

  publish(source: Track.Source): FakePublication {
    const publication = new FakePublication(source);
    this.publications.set(source, publication);
    return publication;
  }
}

export class FakeLocalParticipant extends FakeParticipant {
  readonly calls: string[] = [];
  /** What was turned on while nothing of it was published: the library starts a device for it. */
  readonly ownTracks: Track.Source[] = [];
  /** The next switch fails with this. */
  failure: Error | undefined;
  /** Tracks are on their way until then. */
  publishes: Promise<void> = Promise.resolve();

  async publishTrack(_: unknown, options: { source: Track.Source }): Promise<void> {
    await this.publishes;
    this.#fail();
    this.calls.push(`publish ${options.source}`);
    this.publish(options.source);
  }
  setMicrophoneEnabled(on: boolean): Promise<void> {
    return this.#enable(Track.Source.Microphone, on);
  }
  setCameraEnabled(on: boolean): Promise<void> {
    return this.#enable(Track.Source.Camera, on);
  }
  setScreenShareEnabled(on: boolean): Promise<void> {
    return this.#enable(Track.Source.ScreenShare, on);
  }
  async #enable(source: Track.Source, on: boolean): Promise<void> {
    await Promise.resolve();
    this.#fail();
    this.calls.push(`${source} ${on ? 'on' : 'off'}`);
    // As the library does: where nothing is published there is nothing to mute, and it says nothing of that.
    if (!on && !this.publications.has(source)) return;
    if (!on && source === Track.Source.ScreenShare) this.publications.delete(source);
    else {
      // Where nothing is published yet the library takes a second track of its own.
      if (!this.publications.has(source)) this.ownTracks.push(source);
      (this.publications.get(source) ?? this.publish(source)).isMuted = !on;
    }
  }
  #fail(): void {
    const failure = this.failure;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
  }
}

export class FakeRoom extends EventEmitter {
  readonly localParticipant = new FakeLocalParticipant('me', 'Me', true);
  readonly remoteParticipants = new Map<string, FakeParticipant>();
  canPlaybackAudio = true;
  isRecording = false;
  /** What `connect` ends with. */
  refusal: Error | undefined;
  connectedWith: string[] = [];
  disconnected = false;

  get room(): Room {
    return this as unknown as Room;
  }

  async connect(url: string, token: string): Promise<void> {
    await Promise.resolve();
    if (this.refusal !== undefined) throw this.refusal;
    this.connectedWith = [url, token];
  }

  async disconnect(): Promise<void> {
    if (this.disconnected) return;
    this.disconnected = true;
    this.drop(DisconnectReason.CLIENT_INITIATED);
  }

  drop(reason: DisconnectReason | undefined): void {
    this.emit(RoomEvent.Disconnected, reason);
  }

  enter(identity: string, joinedAt = 0): FakeParticipant {
    const participant = new FakeParticipant(identity, identity.toUpperCase(), false, new Date(joinedAt));
    this.remoteParticipants.set(identity, participant);
    this.emit(RoomEvent.ParticipantConnected, participant);
    return participant;
  }

  exit(identity: string): void {
    const participant = this.remoteParticipants.get(identity);
    this.remoteParticipants.delete(identity);
    this.emit(RoomEvent.ParticipantDisconnected, participant);
  }
}
