// SPDX-License-Identifier: EUPL-1.2
import { expect, test } from 'vitest';
import { LocalMedia, problemOf } from '../src/devices/media.ts';

class FakeTrack extends EventTarget {
  stopped = false;
  constructor(readonly kind: 'video' | 'audio') {
    super();
  }
  stop(): void {
    this.stopped = true;
  }
}

type Answer = (constraints: MediaStreamConstraints) => FakeTrack[] | string;

/** Devices that answer as told; a string is the name of the error. */
class FakeDevices extends EventTarget {
  readonly asked: MediaStreamConstraints[] = [];
  listed: { kind: string; deviceId: string; label: string }[] = [];

  constructor(public answer: Answer = both) {
    super();
  }

  async getUserMedia(constraints: MediaStreamConstraints): Promise<MediaStream> {
    this.asked.push(constraints);
    await Promise.resolve();
    const answer = this.answer(constraints);
    if (typeof answer === 'string') throw new DOMException('', answer);
    return { getTracks: () => answer } as unknown as MediaStream;
  }

  async enumerateDevices(): Promise<MediaDeviceInfo[]> {
    return this.listed as unknown as MediaDeviceInfo[];
  }
}

function both(constraints: MediaStreamConstraints): FakeTrack[] {
  const tracks: FakeTrack[] = [];
  if (constraints.video) tracks.push(new FakeTrack('video'));
  if (constraints.audio) tracks.push(new FakeTrack('audio'));
  return tracks;
}

const WISH = { cameraOn: true, microphoneOn: true, cameraId: undefined, microphoneId: undefined };

function media(devices: FakeDevices | undefined, wish = {}) {
  return new LocalMedia(devices as unknown as MediaDevices | undefined, { ...WISH, ...wish });
}

test('both devices come with one question', async () => {
  const devices = new FakeDevices();
  const local = media(devices);
  await local.start();
  expect(devices.asked).toHaveLength(1);
  expect(local.value.camera).toMatchObject({ starting: false, problem: undefined });
  expect(local.value.camera.track?.kind).toBe('video');
  expect(local.value.microphone.track?.kind).toBe('audio');
});

test('without a camera the microphone works all the same, and the other way round', async () => {
  const devices = new FakeDevices((c) => (c.video ? 'NotFoundError' : both(c)));
  const local = media(devices);
  await local.start();
  expect(local.value.camera.problem).toBe('absent');
  expect(local.value.microphone.track).toBeDefined();

  const busy = media(new FakeDevices((c) => (c.audio ? 'NotReadableError' : both(c))));
  await busy.start();
  expect(busy.value.microphone.problem).toBe('busy');
  expect(busy.value.camera.track).toBeDefined();
});

test('someone who says no is not asked a second time', async () => {
  const devices = new FakeDevices(() => 'NotAllowedError');
  const local = media(devices);
  await local.start();
  expect(devices.asked).toHaveLength(1);
  expect(local.value.camera.problem).toBe('denied');
  expect(local.value.microphone.problem).toBe('denied');
});

test('a page without secure connection says so', async () => {
  const local = media(undefined);
  await local.start();
  expect(local.value.camera.problem).toBe('insecure');
});

test('turning the camera off stops it, so that its light goes out', async () => {
  const local = media(new FakeDevices());
  await local.start();
  const track = local.value.camera.track as unknown as FakeTrack;
  await local.setOn('camera', false);
  expect(track.stopped).toBe(true);
  expect(local.value.camera).toMatchObject({ wanted: false, track: undefined });
  expect(local.value.microphone.track).toBeDefined();
});

test('an answer that comes after the camera was turned off is thrown away', async () => {
  const tracks: FakeTrack[] = [];
  const devices = new FakeDevices((c) => {
    const answer = both(c);
    tracks.push(...answer);
    return answer;
  });
  const local = media(devices, { microphoneOn: false });
  const starting = local.start();
  await local.setOn('camera', false);
  await starting;
  expect(local.value.camera.track).toBeUndefined();
  expect(tracks.map((t) => t.stopped)).toEqual([true]);
});

test('a device that is pulled out is reported, and can be tried again', async () => {
  const local = media(new FakeDevices());
  await local.start();
  local.value.microphone.track?.dispatchEvent(new Event('ended'));
  expect(local.value.microphone).toMatchObject({ track: undefined, problem: 'absent' });
  await local.start();
  expect(local.value.microphone).toMatchObject({ problem: undefined });
  expect(local.value.microphone.track).toBeDefined();
});

test('another device takes the place of the first', async () => {
  const devices = new FakeDevices();
  const local = media(devices);
  await local.start();
  const first = local.value.camera.track as unknown as FakeTrack;
  await local.choose('camera', 'cam-2');
  expect(first.stopped).toBe(true);
  expect(devices.asked.at(-1)).toMatchObject({ video: { deviceId: { ideal: 'cam-2' } }, audio: false });
});

test('tracks that were handed over are not stopped by closing', async () => {
  const local = media(new FakeDevices());
  await local.start();
  const { camera, microphone } = local.take();
  local.close();
  expect((camera as unknown as FakeTrack).stopped).toBe(false);
  expect((microphone as unknown as FakeTrack).stopped).toBe(false);
});

test('devices are listed by kind, without Chromium’s aliases', async () => {
  const devices = new FakeDevices();
  devices.listed = [
    { kind: 'audioinput', deviceId: 'default', label: 'Default' },
    { kind: 'audioinput', deviceId: 'm1', label: 'Headset' },
    { kind: 'videoinput', deviceId: 'c1', label: 'Webcam' },
    { kind: 'videoinput', deviceId: '', label: '' },
  ];
  const local = media(devices);
  await local.start();
  expect(local.value.microphones).toEqual([{ id: 'm1', label: 'Headset' }]);
  expect(local.value.cameras).toEqual([{ id: 'c1', label: 'Webcam' }]);
});

test('errors that are not of the browser’s list are failures, not crashes', () => {
  expect(problemOf(new DOMException('', 'WeirdError'))).toBe('failed');
  expect(problemOf('text')).toBe('failed');
});
