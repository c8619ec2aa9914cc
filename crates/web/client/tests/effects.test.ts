// SPDX-License-Identifier: EUPL-1.2
/** What is chosen, what is at work, and what happens when it can't be: the effects without a browser. */
import type { LocalAudioTrack, LocalVideoTrack, Room } from 'livekit-client';
import { describe, expect, test, vi } from 'vitest';
import { backgroundOf, type Look } from '../src/effects/choice.ts';
import { budgetOf, LoadGuard, PATIENCE_MS } from '../src/effects/guard.ts';
import { Effects, type EffectsWorld } from '../src/effects/model.ts';
import { fitted, isAcceptable, MAX_FILE_BYTES } from '../src/effects/own.ts';
import type { Fault } from '../src/effects/picture.ts';
import { Processed } from '../src/effects/processed.ts';
import { loadSettings, saveSettings } from '../src/settings.ts';

const track = (name = 'track') => ({ name, stop: vi.fn() }) as unknown as MediaStreamTrack & { stop: ReturnType<typeof vi.fn> };

function world(change: Partial<EffectsWorld> = {}) {
  const seen = { looks: [] as Look['kind'][], begun: 0, stopped: 0, camerasOff: 0, saved: [] as object[], fault: (_: Fault) => {} };
  const running = (onfault: (fault: Fault) => void) => {
    seen.begun++;
    seen.fault = onfault;
    return { track: track('changed'), stop: () => void seen.stopped++ };
  };
  const fake: EffectsWorld = {
    can: { background: true, noise: true },
    changePictures: async (_, look, onfault) => {
      seen.looks.push(look.kind);
      return { ...running(onfault), change: (look) => void seen.looks.push(look.kind) };
    },
    cleanSound: async (_, onfault) => running(onfault),
    takeImage: async () => ({ image: { close: () => {} } as ImageBitmap }),
    hasImage: () => false,
    keptImage: async () => undefined,
    save: (what) => void seen.saved.push(what),
    cameraOff: () => void seen.camerasOff++,
    ...change,
  };
  return { fake, seen };
}

/** A published track, as far as the effects see it. */
function published(kind: 'video' | 'audio') {
  let processor: Processed<never, never> | undefined;
  const source = track('device');
  const settings = { noiseSuppression: true, deviceId: 'one' };
  return {
    kind,
    isMuted: false,
    mediaStreamTrack: { getSettings: () => ({ ...settings }) },
    getProcessor: () => processor,
    setProcessor: async (next: Processed<never, never>) => {
      await next.init({ track: source });
      processor = next;
    },
    stopProcessor: async () => {
      await processor?.destroy();
      processor = undefined;
    },
    // As Chromium has it: accepted, and without effect.
    applyConstraints: async () => {},
    restartTrack: async (wish: { noiseSuppression: boolean }) => void (settings.noiseSuppression = wish.noiseSuppression),
    settings,
    source,
  };
}

function room(tracks: { camera?: ReturnType<typeof published>; microphone?: ReturnType<typeof published> }) {
  const listeners: ((publication: { source: string }) => void)[] = [];
  const gone: unknown[] = [];
  const fake = {
    options: { videoCaptureDefaults: { deviceId: 'x' }, audioCaptureDefaults: {} } as Record<string, Record<string, unknown>>,
    on: (_: string, listener: (publication: { source: string }) => void) => void listeners.push(listener),
    localParticipant: {
      getTrackPublication: (source: 'camera' | 'microphone') => ({ videoTrack: tracks.camera, audioTrack: tracks.microphone })[source === 'camera' ? 'videoTrack' : 'audioTrack'] && { videoTrack: tracks.camera, audioTrack: tracks.microphone },
      unpublishTrack: async (each: unknown) => void gone.push(each),
    },
  };
  return { room: fake as unknown as Room, options: fake.options, gone, publish: (source: string) => listeners.forEach((each) => each({ source })) };
}

describe('the guard', () => {
  test('one slow moment is nothing, some seconds of too much are enough', () => {
    let now = 0;
    const guard = new LoadGuard(() => now);
    expect(guard.spent(9_000, 40)).toBe(false);
    for (let i = 0; i < 50; i++) expect(guard.spent(10, 40), `picture ${i}`).toBe(false);
    const begun = now;
    let slow = false;
    while (!slow && now < begun + 60_000) {
      now += 60;
      slow = guard.spent(60, 40);
    }
    expect(slow).toBe(true);
    expect(now - begun).toBeGreaterThanOrEqual(PATIENCE_MS);
    expect(now - begun).toBeLessThan(PATIENCE_MS + 2_000);
  });

  test('who recovers in between starts afresh', () => {
    let now = 0;
    const guard = new LoadGuard(() => now);
    for (let i = 0; i < 20; i++) {
      for (let j = 0; j < 30; j++) expect(guard.spent(80, 40), `${i}`).toBe(false), (now += 80);
      for (let j = 0; j < 60; j++) expect(guard.spent(5, 40), `${i}`).toBe(false), (now += 5);
    }
  });

  test('a camera’s pictures may be left out down to twelve a second, and a slow camera has all its time', () => {
    expect(budgetOf(30)).toBeCloseTo(83.3, 0);
    expect(budgetOf(undefined)).toBeCloseTo(83.3, 0);
    expect(budgetOf(5)).toBe(200);
  });
});

describe('what is remembered', () => {
  test('the choice, and nothing that is none', () => {
    const kept = new Map<string, string>();
    const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) };
    expect(loadSettings(storage)).toMatchObject({ background: 'none', noise: false });
    saveSettings({ background: 'hills', noise: true }, storage);
    expect(loadSettings(storage)).toMatchObject({ background: 'hills', noise: true });
    expect(['blur', 'own', 'beach', undefined, 7].map(backgroundOf)).toEqual(['blur', 'own', 'none', 'none', 'none']);
  });

  test('an image that is gone, or a browser that can’t, is no background', () => {
    expect(new Effects(world().fake, { background: 'own', noise: true }).value).toMatchObject({ background: 'none', noise: true });
    const unable = world({ can: { background: false, noise: false } });
    expect(new Effects(unable.fake, { background: 'blur', noise: true }).value).toMatchObject({ background: 'none', noise: false });
  });
});

describe('before the call', () => {
  test('the preview has the background, changes with it, and ends with the camera', async () => {
    const { fake, seen } = world();
    const effects = new Effects(fake, { background: 'blur', noise: false });
    await effects.show(track());
    expect(effects.value.preview).toMatchObject({ name: 'changed' });
    await effects.setBackground('hills');
    expect(seen).toMatchObject({ looks: ['blur', 'scene'], begun: 1, saved: [{ background: 'hills' }] });
    await effects.setBackground('none');
    expect([effects.value.preview, seen.stopped]).toEqual([undefined, 1]);
    await effects.setBackground('blur');
    await effects.show(undefined);
    expect([effects.value.preview, seen.stopped]).toEqual([undefined, 2]);
  });

  test('an image of one’s own is behind one at once; what is none is refused in words', async () => {
    const { fake, seen } = world();
    const effects = new Effects(fake, { background: 'none', noise: false });
    await effects.show(track());
    await effects.takeImage({} as File);
    expect(effects.value).toMatchObject({ own: true, background: 'own', notice: undefined });
    expect(seen.looks).toEqual(['image']);
    const bad = new Effects({ ...fake, takeImage: () => Promise.reject(new Error()) }, { background: 'blur', noise: false });
    await bad.takeImage({} as File);
    expect(bad.value).toMatchObject({ own: false, background: 'blur', notice: 'image_bad' });
  });

  test('files: few kinds, of a bounded size, made no larger than needed', () => {
    const file = (type: string, size: number) => isAcceptable({ type, size });
    expect([file('image/png', 1), file('image/png', 0), file('image/png', MAX_FILE_BYTES + 1), file('image/svg+xml', 9), file('text/html', 9)]).toEqual([true, false, false, false, false]);
    expect(fitted(4000, 3000)).toEqual([1280, 960]);
    expect(fitted(300, 200)).toEqual([300, 200]);
    expect(fitted(60_000, 720)).toEqual([2560, 720]);
  });
});

describe('in the call', () => {
  test('a camera that was on goes out with its background, or not at all', async () => {
    const { fake } = world();
    const effects = new Effects(fake, { background: 'blur', noise: false });
    const camera = published('video');
    await effects.prepare(camera as unknown as LocalVideoTrack);
    expect(camera.getProcessor()?.processedTrack).toMatchObject({ name: 'changed' });

    const broken = new Effects(world({ changePictures: () => Promise.reject(new Error('no network')) }).fake, { background: 'blur', noise: false });
    const other = published('video');
    await expect(broken.prepare(other as unknown as LocalVideoTrack)).rejects.toThrow('no network');
    expect(other.source.stop).toHaveBeenCalled();
    expect(broken.value.notice).toBe('background_failed');
    await expect(broken.prepare(published('audio') as unknown as LocalAudioTrack)).resolves.toBeUndefined();
  });

  test('cameras that the library turns on by itself have it too, each a processor of its own', async () => {
    const effects = new Effects(world().fake, { background: 'blur', noise: true });
    const { room: one, options, publish } = room({});
    effects.attach(one);
    const first = options.videoCaptureDefaults?.processor;
    expect(first).toBeInstanceOf(Processed);
    expect(options.videoCaptureDefaults?.deviceId).toBe('x');
    expect(options.audioCaptureDefaults?.noiseSuppression).toBe(false);
    publish('camera');
    expect(options.videoCaptureDefaults?.processor).not.toBe(first);
    await effects.setBackground('none');
    expect(options.videoCaptureDefaults?.processor).toBeUndefined();
  });

  test('changes at once; taken away it is gone; a camera that is off becomes a new track', async () => {
    const { fake, seen } = world();
    const effects = new Effects(fake, { background: 'none', noise: false });
    const camera = published('video');
    const { room: one, gone } = room({ camera });
    effects.attach(one);
    await effects.setBackground('blur');
    await effects.setBackground('shelves');
    expect(seen).toMatchObject({ looks: ['blur', 'scene'], begun: 1 });
    await effects.setBackground('none');
    expect([camera.getProcessor(), seen.stopped]).toEqual([undefined, 1]);
    camera.isMuted = true;
    await effects.setBackground('blur');
    expect(gone).toEqual([camera]);
  });

  test('one that fails in the middle takes the camera out: nothing goes on in clear', async () => {
    const effects = new Effects(world({ changePictures: () => Promise.reject(new Error()) }).fake, { background: 'none', noise: false });
    const camera = published('video');
    const { room: one, gone } = room({ camera });
    effects.attach(one);
    await effects.setBackground('blur');
    expect(gone).toEqual([camera]);
    expect(effects.value).toMatchObject({ notice: 'background_failed', starting: false });
  });

  test('a preview that can’t have it does not keep it from the call', async () => {
    let camera = published('video');
    const { fake, seen } = world();
    const { changePictures } = fake;
    const ended = track('ended');
    const effects = new Effects(
      { ...fake, changePictures: (each, ...rest) => (each === ended ? Promise.reject(new Error()) : changePictures(each, ...rest)) },
      { background: 'none', noise: false },
    );
    await effects.show(ended);
    effects.attach(room({ camera }).room);
    await effects.setBackground('blur');
    expect(camera.getProcessor()?.processedTrack).toMatchObject({ name: 'changed' });
    camera = published('video');
    await effects.prepare(camera as unknown as LocalVideoTrack);
    expect(seen.begun).toBe(2);
  });

  test.each(['slow', 'failed'] as const)('one that is %s takes the camera with it: nobody sees what was hidden', async (fault) => {
    const { fake, seen } = world();
    const effects = new Effects(fake, { background: 'none', noise: false });
    const camera = published('video');
    const { room: one, gone, options } = room({ camera });
    effects.attach(one);
    await effects.setBackground('blur');
    seen.fault(fault);
    // Until the camera is out, what leaves it is what the effect makes.
    expect(camera.getProcessor()).toBeInstanceOf(Processed);
    await vi.waitFor(() => expect(seen.camerasOff).toBe(1));
    expect(gone).toEqual([camera]);
    expect(camera.getProcessor()).toBeInstanceOf(Processed);
    expect(effects.value).toMatchObject({ background: 'blur', notice: `background_${fault}` });
    // Turned on again it has its background, or stays off.
    expect(options.videoCaptureDefaults?.processor).toBeInstanceOf(Processed);
    effects.dismiss();
    expect(effects.value).toMatchObject({ background: 'blur', notice: undefined });
  });

  test('who would rather be seen as they are says so, for this time', async () => {
    const { fake, seen } = world();
    const effects = new Effects(fake, { background: 'none', noise: false });
    const tracks: Parameters<typeof room>[0] = { camera: published('video') };
    const { room: one, options } = room(tracks);
    effects.attach(one);
    await effects.setBackground('blur');
    seen.fault('slow');
    await vi.waitFor(() => expect(seen.camerasOff).toBe(1));
    delete tracks.camera;
    await effects.goWithout();
    expect(effects.value).toMatchObject({ background: 'none', notice: undefined });
    expect(options.videoCaptureDefaults?.processor).toBeUndefined();
    expect(seen.saved).toEqual([{ background: 'blur' }]);
  });

  test('before the call as well: the preview ends, and so does the camera', async () => {
    const { fake, seen } = world();
    const effects = new Effects(fake, { background: 'blur', noise: false });
    await effects.show(track());
    seen.fault('slow');
    await vi.waitFor(() => expect(seen.camerasOff).toBe(1));
    expect([effects.value.preview, effects.value.background, seen.stopped]).toEqual([undefined, 'blur', 1]);
  });

  test('noise: ours or the browser’s, never both', async () => {
    const { fake, seen } = world();
    const effects = new Effects(fake, { background: 'none', noise: false });
    const microphone = published('audio');
    const { room: one, publish } = room({ microphone });
    effects.attach(one);
    await effects.setNoise(true);
    expect([microphone.settings.noiseSuppression, microphone.getProcessor() !== undefined]).toEqual([false, true]);
    publish('microphone');
    await vi.waitFor(() => expect(effects.value.starting).toBe(false));
    expect(seen.begun).toBe(1);
    seen.fault('slow');
    await vi.waitFor(() => expect(microphone.settings.noiseSuppression).toBe(true));
    expect([microphone.getProcessor(), effects.value.noise, effects.value.notice]).toEqual([undefined, false, 'noise_slow']);
  });

  test('noise that can’t be suppressed leaves the microphone as it is, and says so', async () => {
    const effects = new Effects(world({ cleanSound: () => Promise.reject(new Error()) }).fake, { background: 'none', noise: false });
    const microphone = published('audio');
    effects.attach(room({ microphone }).room);
    await effects.setNoise(true);
    await vi.waitFor(() => expect(microphone.settings.noiseSuppression).toBe(true));
    expect(microphone.source.stop).not.toHaveBeenCalled();
    expect(effects.value).toMatchObject({ noise: false, notice: 'noise_failed' });
  });
});

test('what begins after its end is stopped', async () => {
  let begin: (running: { track: MediaStreamTrack; stop: () => void }) => void = () => {};
  const processed = new Processed('x', () => new Promise<{ track: MediaStreamTrack; stop: () => void }>((resolve) => (begin = resolve)), true);
  const starting = processed.init({ track: track() });
  await processed.destroy();
  const stop = vi.fn();
  begin({ track: track(), stop });
  await starting;
  expect(stop).toHaveBeenCalled();
  expect(processed.processedTrack).toBeUndefined();
});
