// SPDX-License-Identifier: EUPL-1.2
/** The way into `room/`: all that needs livekit-client, in one chunk that is fetched while the user types a name. */
import { LocalAudioTrack, LocalVideoTrack, LogLevel, Room, setLogLevel } from 'livekit-client';
import { requestConsent } from '../consent.ts';
import type { LinkKey } from '../e2ee/key.ts';
import { Encryption, LinkKeySource } from '../e2ee/session.ts';
import type { Effects } from '../effects/model.ts';
import type { Ticket } from '../join.ts';
import { FILE_BYTES_AT_MOST } from '../meeting/files.ts';
import { RoomModel } from './model.ts';

export interface Choice {
  room: string;
  /** A place in the room, asked anew for each new connection. */
  ticket: () => Promise<Ticket>;
  /** Is given each connection's room before it connects. */
  onroom?: (room: Room) => void;
  cameraId: string | undefined;
  microphoneId: string | undefined;
  speakerId: string | undefined;
  /** Out of the link of an encrypted meeting: nothing leaves but encrypted by it. */
  key?: LinkKey | undefined;
  /** What is done to picture and sound before they are sent. */
  effects?: Effects | undefined;
}

/** How this client publishes. VP8 in three layers is what every browser sends and receives. */
const PUBLISH = { videoCodec: 'vp8', simulcast: true } as const;

setLogLevel(LogLevel.warn);

export function createRoom(choice: Choice): RoomModel {
  const device = (id: string | undefined) => (id === undefined ? {} : { deviceId: id });
  const encryption = choice.key && new Encryption(new LinkKeySource(choice.key, choice.room));
  return new RoomModel({
    encryption,
    serverUrl: location.origin.replace(/^http/, 'ws'),
    ticket: choice.ticket,
    consent: requestConsent,
    newRoom: () => {
      const room = new Room({
        adaptiveStream: true,
        dynacast: true,
        // What comes compressed may become any size; nothing that anybody sends here is larger than a file may be.
        dataStream: { maxPayloadByteLength: FILE_BYTES_AT_MOST },
        ...(encryption && { encryption: encryption.options() }),
        publishDefaults: PUBLISH,
        audioCaptureDefaults: device(choice.microphoneId),
        videoCaptureDefaults: device(choice.cameraId),
        audioOutput: device(choice.speakerId),
      });
      choice.effects?.attach(room);
      choice.onroom?.(room);
      return room;
    },
    // Not "provided by user": livekit-client may stop the camera when it is turned off and start it anew.
    localTrack: (source, track) =>
      source === 'camera'
        ? new LocalVideoTrack(track, undefined, false)
        : new LocalAudioTrack(track, undefined, false),
    prepare: async (track) => choice.effects?.prepare(track),
    pause: (ms) =>
      new Promise((resolve) => {
        const done = () => {
          clearTimeout(timer);
          removeEventListener('online', done);
          resolve();
        };
        const timer = setTimeout(done, ms);
        addEventListener('online', done);
      }),
  });
}
