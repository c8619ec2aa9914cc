// SPDX-License-Identifier: EUPL-1.2
/**
 * The effects of one person on one page: what is chosen, what of it is at work before the call and in it, and what went wrong.
 *
 * Its promise: while a background is chosen, no picture of the camera's own leaves, from the first one on. An effect that can't be
 * begun leaves the camera off; one that proves too slow, or fails in the middle, turns it off, with a notice and a button for whoever would
 * rather be seen as they are. Noise that can't be suppressed is heard, which is said.
 */
import type { LocalAudioTrack, LocalVideoTrack, Room, RoomEvent, Track } from 'livekit-client';
import { Store } from '../store.ts';
import type { Background, Look } from './choice.ts';
import type { Fault, Running, RunningPicture } from './picture.ts';
import { Processed } from './processed.ts';

export type EffectNotice = 'background_slow' | 'background_failed' | 'noise_slow' | 'noise_failed' | 'image_bad';

export interface EffectsState {
  background: Background;
  noise: boolean;
  /** Whether there is an image of one's own to choose. */
  own: boolean;
  /** Something was chosen that is not to be seen or heard yet. */
  starting: boolean;
  /** What the camera shows before the call, with the background; without one there is nothing. */
  preview: MediaStreamTrack | undefined;
  notice: EffectNotice | undefined;
  /** What this browser can do. */
  can: { background: boolean; noise: boolean };
}

/** What the model needs from the world; tests give it another. */
export interface EffectsWorld {
  can: { background: boolean; noise: boolean };
  changePictures(camera: MediaStreamTrack, look: Look, onfault: (fault: Fault) => void): Promise<RunningPicture>;
  cleanSound(microphone: MediaStreamTrack, onfault: (fault: Fault) => void): Promise<Running>;
  takeImage(file: File): Promise<{ image: ImageBitmap }>;
  hasImage(): boolean;
  keptImage(): Promise<ImageBitmap | undefined>;
  save(change: { background?: Background; noise?: boolean }): void;
  /** Turns the camera off, as the user does. */
  cameraOff(): void;
}

type Camera = Processed<Track.Kind.Video, RunningPicture>;
type Microphone = Processed<Track.Kind.Audio, Running>;

export class Effects extends Store<EffectsState> {
  readonly #world: EffectsWorld;
  #image: ImageBitmap | undefined;
  #room: Room | undefined;
  #preview: { camera: MediaStreamTrack; running: RunningPicture | undefined } | undefined;
  /** One change after the other: the library takes no two at once. */
  #work: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(world: EffectsWorld, chosen: { background: Background; noise: boolean }) {
    const own = world.hasImage();
    // What is remembered and can't be had any more is as if it had never been chosen.
    const lost = !world.can.background || (chosen.background === 'own' && !own);
    super({
      background: lost ? 'none' : chosen.background,
      noise: chosen.noise && world.can.noise,
      own,
      starting: false,
      preview: undefined,
      notice: undefined,
      can: world.can,
    });
    this.#world = world;
  }

  async setBackground(background: Background): Promise<void> {
    if (background === 'own' && !this.value.own) return;
    this.#world.save({ background });
    this.patch({ background, notice: undefined });
    await this.#then(() => this.#showBackground());
  }

  /** Shows what is behind the user, who asked for that: this once, what is remembered stays for another day or another device. */
  async goWithout(): Promise<void> {
    this.patch({ background: 'none', notice: undefined });
    await this.#then(() => this.#showBackground());
  }

  async setNoise(noise: boolean): Promise<void> {
    this.#world.save({ noise });
    this.patch({ noise, notice: undefined });
    await this.#then(() => this.#applyNoise());
  }

  /** From the disk, and at once behind the person. */
  async takeImage(file: File): Promise<void> {
    try {
      const { image } = await this.#world.takeImage(file);
      this.#image?.close();
      this.#image = image;
    } catch {
      this.patch({ notice: 'image_bad' });
      return;
    }
    this.patch({ own: true });
    await this.setBackground('own');
  }

  /** The camera as it is before the call; nothing where it is off, and once the call has it. */
  async show(camera: MediaStreamTrack | undefined): Promise<void> {
    if (camera === this.#preview?.camera) return;
    this.#endPreview();
    this.#preview = camera && { camera, running: undefined };
    await this.#then(() => this.#showPreview());
  }

  /** A connection of the call, before it connects. Whatever device is turned on in it has its effect from the beginning. */
  attach(room: Room): void {
    this.#room = room;
    this.#setDefaults();
    room.on('localTrackPublished' as RoomEvent.LocalTrackPublished, ({ source }) => {
      if (room !== this.#room) return;
      // A new track wants a new processor.
      this.#setDefaults();
      if (source === 'microphone') void this.#then(() => this.#applyNoise());
    });
  }

  /** A track that was on before the call, before it is sent. Fails where it must not be sent. */
  async prepare(track: LocalVideoTrack | LocalAudioTrack): Promise<void> {
    if (track.kind === 'video' && this.value.background !== 'none') await this.#then(() => (track as LocalVideoTrack).setProcessor(this.#newCamera()), true);
  }

  dismiss(): void {
    this.patch({ notice: undefined });
  }

  close(): void {
    this.#room = undefined;
    this.#endPreview();
    this.#image?.close();
    this.#image = undefined;
  }

  /** In order. What fails has been said by then; only who must not go on without it is told as well. */
  async #then(step: () => Promise<unknown>, strict = false): Promise<void> {
    this.#waiting++;
    this.patch({ starting: true });
    const done = this.#work.then(step);
    this.#work = done.catch(() => undefined);
    try {
      await done;
    } catch (error) {
      if (strict) throw error;
    } finally {
      if (--this.#waiting === 0) this.patch({ starting: false });
    }
  }

  async #showBackground(): Promise<void> {
    // What fails before the call must not keep the call from it: there it is seen by others.
    const [preview, call] = await Promise.allSettled([this.#showPreview(), this.#applyBackground()]);
    for (const each of [call, preview]) if (each.status === 'rejected') throw each.reason;
  }

  async #showPreview(): Promise<void> {
    const preview = this.#preview;
    if (preview === undefined) return;
    if (this.value.background === 'none') {
      preview.running?.stop();
      preview.running = undefined;
      this.patch({ preview: undefined });
      return;
    }
    if (preview.running !== undefined) return preview.running.change(await this.#look());
    const running = await this.#begin(preview.camera);
    // Another camera, or none, by now.
    if (preview !== this.#preview) return running.stop();
    preview.running = running;
    this.patch({ preview: running.track });
  }

  #endPreview(): void {
    this.#preview?.running?.stop();
    this.#preview = undefined;
    this.patch({ preview: undefined });
  }

  async #applyBackground(): Promise<void> {
    this.#setDefaults();
    const local = this.#room?.localParticipant;
    const track = local?.getTrackPublication('camera' as Track.Source)?.videoTrack as LocalVideoTrack | undefined;
    if (local === undefined || track === undefined) return;
    const processor = track.getProcessor();
    const running = processor instanceof Processed ? (processor as Camera).running : undefined;
    if (this.value.background !== 'none' && running !== undefined) return running.change(await this.#look());
    // A camera that is off gives nothing to begin with: turned on again, it is a new track.
    if (track.isMuted) return void (await local.unpublishTrack(track));
    try {
      if (this.value.background !== 'none') await track.setProcessor(this.#newCamera());
      else if (processor !== undefined) await track.stopProcessor();
    } catch (error) {
      // Turned on again it is a new track, with the effect or not at all.
      await local.unpublishTrack(track).catch(() => undefined);
      throw error;
    }
  }

  async #applyNoise(): Promise<void> {
    this.#setDefaults();
    const track = this.#room?.localParticipant.getTrackPublication('microphone' as Track.Source)?.audioTrack as LocalAudioTrack | undefined;
    if (track === undefined) return;
    const { noise } = this.value;
    if (!noise && track.getProcessor() !== undefined) await track.stopProcessor();
    if (track.getProcessor() === undefined) await this.#letBrowserSuppress(track, !noise);
    if (noise && track.getProcessor() === undefined) await track.setProcessor(this.#newMicrophone());
  }

  /** Two that suppress noise one after the other make voices hollow: while ours does, the browser's does not. */
  async #letBrowserSuppress(track: LocalAudioTrack, noiseSuppression: boolean): Promise<void> {
    const now = () => track.mediaStreamTrack.getSettings();
    // What is no microphone, or of a browser that does not tell, has nothing to turn off.
    if ((now().noiseSuppression ?? noiseSuppression) === noiseSuppression) return;
    const wish = { noiseSuppression, echoCancellation: true, autoGainControl: true };
    await track.applyConstraints(wish).catch(() => undefined);
    // Chromium changes it for a device that is begun anew only.
    const { deviceId } = now();
    if (now().noiseSuppression !== noiseSuppression) await track.restartTrack({ ...wish, ...(deviceId !== undefined && { deviceId }) });
  }

  /** For the devices that the library turns on by itself. */
  #setDefaults(): void {
    const room = this.#room;
    if (room === undefined) return;
    const { background, noise } = this.value;
    const { videoCaptureDefaults: video, audioCaptureDefaults: audio } = room.options;
    room.options.videoCaptureDefaults = { ...video, ...(background === 'none' ? { processor: undefined } : { processor: this.#newCamera() }) } as typeof video;
    // The library has no sound to work with yet when it makes this track: the effect follows when it is published.
    room.options.audioCaptureDefaults = { ...audio, noiseSuppression: !noise };
  }

  #newCamera(): Camera {
    return new Processed('parvis-background', (track) => this.#begin(track), true);
  }

  #newMicrophone(): Microphone {
    return new Processed(
      'parvis-noise',
      async (track) => {
        try {
          return await this.#world.cleanSound(track, (fault) => this.#fault('noise', fault));
        } catch (error) {
          this.#fault('noise', 'failed');
          throw error;
        }
      },
      false,
    );
  }

  async #begin(camera: MediaStreamTrack): Promise<RunningPicture> {
    try {
      const running = await this.#world.changePictures(camera, await this.#look(), (fault) => this.#fault('background', fault));
      return running;
    } catch (error) {
      this.patch({ notice: 'background_failed' });
      throw error;
    }
  }

  async #look(): Promise<Look> {
    const { background } = this.value;
    if (background === 'none') throw new Error('no background is chosen any more');
    if (background === 'blur') return { kind: 'blur' };
    if (background !== 'own') return { kind: 'scene', scene: background };
    this.#image ??= await this.#world.keptImage();
    if (this.#image === undefined) throw new Error('the image is gone');
    return { kind: 'image', image: this.#image };
  }

  /** What has begun and can't go on is taken away; what is remembered stays, for another day or another device. */
  #fault(what: 'background' | 'noise', fault: Fault): void {
    if (what === 'noise') {
      this.patch({ noise: false, notice: `noise_${fault}` });
      return void this.#then(() => this.#applyNoise());
    }
    this.patch({ notice: `background_${fault}` });
    this.#endPreview();
    void this.#then(() => this.#takeCameraOut());
  }

  /** The background is still chosen: turned on again, the camera is a new track, with it or not at all. */
  async #takeCameraOut(): Promise<void> {
    const local = this.#room?.localParticipant;
    const track = local?.getTrackPublication('camera' as Track.Source)?.videoTrack as LocalVideoTrack | undefined;
    try {
      if (local !== undefined && track !== undefined) await local.unpublishTrack(track);
    } finally {
      this.#world.cameraOff();
    }
  }
}
