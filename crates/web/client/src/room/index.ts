// SPDX-License-Identifier: EUPL-1.2
/** The way into `room/`: all that needs livekit-client, in one chunk that is fetched while the user types a name. */
import { LocalAudioTrack, LocalVideoTrack, LogLevel, Room, setLogLevel } from 'livekit-client';
import { requestConsent } from '../consent.ts';
import { requestTicket } from '../join.ts';
import { RoomModel } from './model.ts';

export interface Choice {
  room: string;
  name: string;
  cameraId: string | undefined;
  microphoneId: string | undefined;
  speakerId: string | undefined;
}

/** How this client publishes. VP8 in three layers is what every browser sends and receives. */
const PUBLISH = { videoCodec: 'vp8', simulcast: true } as const;

setLogLevel(LogLevel.warn);

export function createRoom(choice: Choice): RoomModel {
  const device = (id: string | undefined) => (id === undefined ? {} : { deviceId: id });
  return new RoomModel({
    serverUrl: location.origin.replace(/^http/, 'ws'),
    ticket: () => requestTicket(choice.room, choice.name),
    consent: requestConsent,
    newRoom: () =>
      new Room({
        adaptiveStream: true,
        dynacast: true,
        publishDefaults: PUBLISH,
        audioCaptureDefaults: device(choice.microphoneId),
        videoCaptureDefaults: device(choice.cameraId),
        audioOutput: device(choice.speakerId),
      }),
    // Not "provided by user": livekit-client may stop the camera when it is turned off and start it anew.
    localTrack: (source, track) =>
      source === 'camera'
        ? new LocalVideoTrack(track, undefined, false)
        : new LocalAudioTrack(track, undefined, false),
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
