// SPDX-License-Identifier: EUPL-1.2
/** Camera and microphone before the call: asks for them, keeps what it got, and says in one word what went wrong. */
import { Store } from '../store.ts';

export type DeviceKind = 'camera' | 'microphone';
export type DeviceProblem = 'denied' | 'absent' | 'busy' | 'insecure' | 'failed';

export interface DeviceState {
  /** What the user asked for. */
  wanted: boolean;
  starting: boolean;
  track: MediaStreamTrack | undefined;
  problem: DeviceProblem | undefined;
  /** The chosen device; undefined means the system's default. */
  deviceId: string | undefined;
}

export interface Device {
  id: string;
  /** Empty until the browser is allowed to tell it. */
  label: string;
}

export interface MediaState {
  camera: DeviceState;
  microphone: DeviceState;
  cameras: Device[];
  microphones: Device[];
  speakers: Device[];
}

export interface Wish {
  cameraOn: boolean;
  microphoneOn: boolean;
  cameraId: string | undefined;
  microphoneId: string | undefined;
  /** Noise is taken out by us: then the browser is not to do it as well. */
  noise?: boolean;
}

type Devices = Pick<
  MediaDevices,
  'getUserMedia' | 'enumerateDevices' | 'addEventListener' | 'removeEventListener'
>;

const KINDS: readonly DeviceKind[] = ['camera', 'microphone'];

export class LocalMedia extends Store<MediaState> {
  readonly #devices: Devices | undefined;
  readonly #noiseSuppression: boolean;
  /** Counts requests per device, so that the answer to an outdated one is thrown away. */
  readonly #request = { camera: 0, microphone: 0 };
  readonly #onDeviceChange = () => void this.#listDevices();

  constructor(devices: Devices | undefined, wish: Wish) {
    const idle = (wanted: boolean, deviceId: string | undefined): DeviceState => ({
      wanted,
      deviceId,
      starting: false,
      track: undefined,
      problem: undefined,
    });
    super({
      camera: idle(wish.cameraOn, wish.cameraId),
      microphone: idle(wish.microphoneOn, wish.microphoneId),
      cameras: [],
      microphones: [],
      speakers: [],
    });
    this.#devices = devices;
    this.#noiseSuppression = wish.noise !== true;
    devices?.addEventListener('devicechange', this.#onDeviceChange);
  }

  /** Starts what is wanted, with one question to the user where the browser asks. */
  async start(): Promise<void> {
    await this.#acquire(KINDS.filter((kind) => this.value[kind].wanted && this.value[kind].track === undefined));
    await this.#listDevices();
  }

  async setOn(kind: DeviceKind, on: boolean): Promise<void> {
    this.#change(kind, { wanted: on });
    if (on) {
      await this.start();
    } else {
      this.#request[kind]++;
      this.#release(kind);
      this.#change(kind, { starting: false, problem: undefined });
    }
  }

  async choose(kind: DeviceKind, deviceId: string | undefined): Promise<void> {
    this.#change(kind, { deviceId });
    if (!this.value[kind].wanted) return;
    this.#release(kind);
    await this.start();
  }

  /** Hands the running tracks over: closing no longer stops them. */
  take(): { camera: MediaStreamTrack | undefined; microphone: MediaStreamTrack | undefined } {
    const { camera, microphone } = this.value;
    for (const kind of KINDS) {
      this.value[kind].track?.removeEventListener('ended', this.#ended[kind]);
      this.#change(kind, { track: undefined });
    }
    this.close();
    return { camera: camera.track, microphone: microphone.track };
  }

  close(): void {
    this.#devices?.removeEventListener('devicechange', this.#onDeviceChange);
    for (const kind of KINDS) {
      this.#request[kind]++;
      this.#release(kind);
    }
  }

  readonly #ended = {
    camera: () => this.#unplugged('camera'),
    microphone: () => this.#unplugged('microphone'),
  };

  #unplugged(kind: DeviceKind): void {
    this.#change(kind, { track: undefined, problem: 'absent' });
    void this.#listDevices();
  }

  async #acquire(kinds: DeviceKind[]): Promise<void> {
    if (kinds.length === 0) return;
    if (this.#devices === undefined) {
      for (const kind of kinds) this.#change(kind, { problem: 'insecure' });
      return;
    }
    const requests = new Map(kinds.map((kind) => [kind, ++this.#request[kind]]));
    for (const kind of kinds) this.#change(kind, { starting: true, problem: undefined });
    const current = (kind: DeviceKind) => requests.get(kind) === this.#request[kind];
    try {
      const stream = await this.#devices.getUserMedia(this.#constraints(kinds));
      for (const track of stream.getTracks()) {
        const kind = track.kind === 'video' ? 'camera' : 'microphone';
        if (!current(kind)) {
          track.stop();
          continue;
        }
        track.addEventListener('ended', this.#ended[kind]);
        this.#change(kind, { track, starting: false });
      }
    } catch (error) {
      const problem = problemOf(error);
      const remaining = kinds.filter(current);
      if (remaining.length > 1 && (problem !== 'denied' || (await this.#oneIsBlocked()))) {
        // One of the two failed, and the browser doesn't say which: ask for each by itself.
        for (const kind of remaining) await this.#acquire([kind]);
        return;
      }
      for (const kind of remaining) this.#change(kind, { starting: false, problem });
    }
  }

  #constraints(kinds: DeviceKind[]): MediaStreamConstraints {
    const device = (kind: DeviceKind) => {
      const id = this.value[kind].deviceId;
      // Ideal, not exact: a device that was remembered and isn't there any more must not stop anyone.
      return id === undefined ? {} : { deviceId: { ideal: id } };
    };
    return {
      video: kinds.includes('camera') && {
        ...device('camera'),
        width: { ideal: 1280 },
        height: { ideal: 720 },
        frameRate: { ideal: 30 },
      },
      audio: kinds.includes('microphone') && {
        ...device('microphone'),
        echoCancellation: true,
        noiseSuppression: this.#noiseSuppression,
        autoGainControl: true,
      },
    };
  }

  /** Whether a lasting block concerns one device only. Someone who has just said no is not asked again. */
  async #oneIsBlocked(): Promise<boolean> {
    try {
      const states = await Promise.all(
        KINDS.map(async (name) => (await navigator.permissions.query({ name: name as PermissionName })).state),
      );
      return states.filter((state) => state === 'denied').length === 1;
    } catch {
      return false;
    }
  }

  async #listDevices(): Promise<void> {
    this.patch(await listDevices(this.#devices));
  }

  #release(kind: DeviceKind): void {
    const track = this.value[kind].track;
    if (track === undefined) return;
    track.removeEventListener('ended', this.#ended[kind]);
    track.stop();
    this.#change(kind, { track: undefined });
  }

  #change(kind: DeviceKind, change: Partial<DeviceState>): void {
    this.patch({ [kind]: { ...this.value[kind], ...change } });
  }
}

export async function listDevices(
  devices: Pick<MediaDevices, 'enumerateDevices'> | undefined,
): Promise<Pick<MediaState, 'cameras' | 'microphones' | 'speakers'>> {
  const all = (await devices?.enumerateDevices().catch(() => [])) ?? [];
  const of = (kind: MediaDeviceKind): Device[] =>
    all
      .filter((device) => device.kind === kind && device.deviceId !== '')
      // Chromium lists the default twice: as an alias and by itself.
      .filter((device) => device.deviceId !== 'default' && device.deviceId !== 'communications')
      .map((device) => ({ id: device.deviceId, label: device.label }));
  return { cameras: of('videoinput'), microphones: of('audioinput'), speakers: of('audiooutput') };
}

/** What a failed `getUserMedia` means for the user (Media Capture and Streams, section 10.3). */
export function problemOf(error: unknown): DeviceProblem {
  switch (error instanceof Error ? error.name : undefined) {
    case 'NotAllowedError':
      return 'denied';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'absent';
    case 'NotReadableError':
    case 'AbortError':
      return 'busy';
    case 'SecurityError':
    case 'TypeError':
      return 'insecure';
    default:
      return 'failed';
  }
}
