// SPDX-License-Identifier: EUPL-1.2
/**
 * A call to oneself through the server, in a room and with a key that nobody else has: two connections, of which one sends
 * and the other receives. It needs livekit-client and is fetched when the check starts.
 */
import { LocalAudioTrack, LocalVideoTrack, type RemoteTrack, Room, RoomEvent, Track } from 'livekit-client';
import { canEncrypt } from '../e2ee/gate.ts';
import { newKey } from '../e2ee/key.ts';
import { Encryption, LinkKeySource } from '../e2ee/session.ts';
import { JoinError, makeRoom, requestEntry } from '../join.ts';
import { newRoomName } from '../link.ts';
import { along, type Path, PathError } from './paths.ts';
import { isGreen, isTone, startSample } from './picture.ts';
import { type Figures, figuresOf, type Look, lookAt, wayOf } from './stats.ts';

const CONNECT_MS = 10_000;
const ARRIVE_MS = 10_000;
const MEASURE_MS = 5_000;
const LOOK_MS = 500;
const FFT = 4096;
/** As much as is asked of the line: a good picture of one person and more. */
export const ASKED_KBPS = 2_000;

export interface Called {
  connectMs: number;
  picture: boolean;
  sound: boolean;
  encrypted: boolean;
  way: 'udp' | 'tcp' | 'relay' | undefined;
  figures: Figures | undefined;
}

const serverUrl = () => location.origin.replace(/^http/, 'ws');

/** A room that nobody else knows. Where every room has a lobby, it is made with a key of its owner, which opens it. */
class Place {
  readonly room: string;
  readonly #hostKey: string | undefined;

  private constructor(room: string, hostKey?: string) {
    this.room = room;
    this.#hostKey = hostKey;
  }

  static async find(): Promise<Place> {
    const place = new Place(newRoomName());
    const entry = await requestEntry(place.room, { name: 'Check' });
    if ('in' in entry) return place;
    const made = await makeRoom({ title: '', e2ee: false, policy: {} });
    if (made === undefined) throw new JoinError('not_allowed', 'the check has to wait outside');
    return new Place(made.room, made.hostKey);
  }

  async token(): Promise<string> {
    const entry = await requestEntry(this.room, { name: 'Check', ...(this.#hostKey !== undefined && { hostKey: this.#hostKey }) });
    if ('in' in entry) return entry.in.token;
    throw new JoinError('not_allowed', 'the check has to wait outside');
  }
}

/** A ticket into a room that nobody else knows. */
export async function anyTicket(): Promise<{ token: string }> {
  return { token: await (await Place.find()).token() };
}

export async function callOneself(): Promise<Called> {
  const place = await Place.find();
  const key = canEncrypt() ? newKey() : undefined;
  const closing: (() => unknown)[] = [];
  const open = async (): Promise<Room> => {
    const encryption = key && new Encryption(new LinkKeySource(key, place.room));
    const room = new Room(encryption ? { encryption: encryption.options() } : {});
    closing.push(async () => {
      await room.disconnect();
      encryption?.close();
    });
    const token = await place.token();
    await encryption?.prepare(room);
    await bounded(room.connect(serverUrl(), token), CONNECT_MS, 'the connection');
    return room;
  };
  try {
    const began = performance.now();
    const [sender, receiver] = [await open(), await open()];
    const connectMs = Math.round((performance.now() - began) / 2);
    const sample = await startSample();
    closing.push(() => sample.stop());
    const arriving = arrived(receiver);
    const video = new LocalVideoTrack(sample.video, undefined, true);
    const audio = new LocalAudioTrack(sample.audio, undefined, true);
    const bitrate = { maxBitrate: ASKED_KBPS * 1000, maxFramerate: 15 };
    await sender.localParticipant.publishTrack(video, { source: Track.Source.Camera, videoCodec: 'vp8', simulcast: false, videoEncoding: bitrate });
    await sender.localParticipant.publishTrack(audio, { source: Track.Source.Microphone, dtx: false, red: false });
    const tracks = await bounded(arriving, ARRIVE_MS, 'the tracks').catch(() => undefined);
    if (tracks === undefined) return { connectMs, picture: false, sound: false, encrypted: key !== undefined, way: undefined, figures: undefined };
    const shown = show(tracks.video);
    const heard = listen(tracks.audio);
    closing.push(shown.stop, heard.stop);
    const [picture, sound] = await Promise.all([eventually(shown.right), eventually(heard.right)]);
    const looks: Look[] = [];
    for (const end = performance.now() + MEASURE_MS; performance.now() <= end; await pause(LOOK_MS)) {
      const [sent, received] = await Promise.all([entries([video, audio]), entries([tracks.video, tracks.audio])]);
      looks.push(lookAt(sent, received, performance.now()));
    }
    const way = wayOf(await entries([video]));
    return { connectMs, picture, sound, encrypted: key !== undefined, way, figures: figuresOf(looks) };
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

/** `absent`: the server has no address of this kind. */
export type PathResult = 'works' | 'blocked' | 'absent';

/** Whether the server can be reached this way and no other. */
export async function tryPath(path: Path): Promise<PathResult> {
  const room = new Room();
  try {
    const token = await (await Place.find()).token();
    const { offered } = await along(path, () => bounded(room.connect(serverUrl(), token, { maxRetries: 0 }), CONNECT_MS, path));
    return offered ? 'works' : 'absent';
  } catch (error) {
    if (!(error instanceof PathError)) throw error;
    return error.offered ? 'blocked' : 'absent';
  } finally {
    await room.disconnect();
  }
}

function arrived(room: Room): Promise<{ video: RemoteTrack; audio: RemoteTrack }> {
  return new Promise((resolve) => {
    const found: { video?: RemoteTrack; audio?: RemoteTrack } = {};
    room.on(RoomEvent.TrackSubscribed, (track) => {
      found[track.kind === Track.Kind.Video ? 'video' : 'audio'] = track;
      if (found.video && found.audio) resolve({ video: found.video, audio: found.audio });
    });
  });
}

function show(track: RemoteTrack): { right(): boolean; stop(): void } {
  const video = document.createElement('video');
  video.muted = true;
  track.attach(video);
  const canvas = document.createElement('canvas');
  canvas.width = 4;
  canvas.height = 2;
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  return {
    right() {
      pen?.drawImage(video, 0, 0, 4, 2);
      return isGreen(pen?.getImageData(0, 0, 1, 1).data ?? []);
    },
    stop: () => void track.detach(video),
  };
}

function listen(track: RemoteTrack): { right(): boolean; stop(): void } {
  // Chromium gives a track's sound to nobody before an element plays it, even if it plays it silently.
  const audio = document.createElement('audio');
  audio.muted = true;
  track.attach(audio);
  const context = new AudioContext();
  void context.resume().catch(() => undefined);
  const analyser = new AnalyserNode(context, { fftSize: FFT, smoothingTimeConstant: 0 });
  context.createMediaStreamSource(new MediaStream([track.mediaStreamTrack])).connect(analyser);
  const levels = new Float32Array(analyser.frequencyBinCount);
  return {
    right() {
      analyser.getFloatFrequencyData(levels);
      return isTone(levels, context.sampleRate / FFT);
    },
    stop() {
      track.detach(audio);
      void context.close();
    },
  };
}

async function entries(tracks: { getRTCStatsReport(): Promise<RTCStatsReport | undefined> }[]): Promise<Record<string, unknown>[]> {
  const reports = await Promise.all(tracks.map((track) => track.getRTCStatsReport()));
  return reports.flatMap((report) => (report === undefined ? [] : [...report.values()]));
}

async function eventually(right: () => boolean): Promise<boolean> {
  for (const end = performance.now() + ARRIVE_MS; performance.now() < end; await pause(100)) if (right()) return true;
  return false;
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

function bounded<T>(work: Promise<T>, ms: number, what: string): Promise<T> {
  work.catch(() => undefined);
  const late = new Promise<never>((_, reject) => setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms));
  return Promise.race([work, late]);
}
