// SPDX-License-Identifier: EUPL-1.2
import { describe, expect, test } from 'vitest';
import { browserOf } from '../src/devices/browser.ts';
import { peakOf, placeOf } from '../src/devices/level.ts';
import { playTone } from '../src/devices/tone.ts';
import { keepAwake } from '../src/devices/wake.ts';
import { ALIKE, EchoDetector, echoOf, STEP_MS } from '../src/hints/echo.ts';
import { HintModel, type HintWorld, OFFER_MS, SHOWN_MS } from '../src/hints/model.ts';
import { type Devices, pluggedIn, shortLabel, unplugged } from '../src/hints/plug.ts';
import { drawTabIcon } from '../src/hints/tab.ts';
import { AGAIN_AFTER_MS, MutedTalk, SILENT_AFTER_MS, Silence, VOICE_LEVEL, VoiceDetector } from '../src/hints/voice.ts';
import type { Person, RoomState } from '../src/room/state.ts';

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('a voice', () => {
  function hear(levels: number[], detector = new VoiceDetector()): boolean[] {
    return levels.map((level, i) => detector.hear(level, i * 100));
  }

  test('is heard after most of a second of it', () => {
    const heard = hear(Array(15).fill(VOICE_LEVEL + 0.1));
    expect(heard[3]).toBe(false);
    expect(heard.at(-1)).toBe(true);
  });

  test('is not a click, nor quiet noise', () => {
    expect(hear([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])).not.toContain(true);
    expect(hear(Array(40).fill(VOICE_LEVEL - 0.1))).not.toContain(true);
  });

  test('while muted is told once, and again only after a while', () => {
    const muted = new MutedTalk();
    const told: number[] = [];
    for (let now = 0; now < AGAIN_AFTER_MS + 5_000; now += 100) if (muted.hear(0.8, now)) told.push(now);
    expect(told).toHaveLength(2);
    expect((told[1] ?? 0) - (told[0] ?? 0)).toBeGreaterThanOrEqual(AGAIN_AFTER_MS);
  });
});

describe('a silent microphone', () => {
  test('gives nothing for ten seconds; a quiet room gives something', () => {
    const silence = new Silence();
    expect(silence.hear(0, 0)).toBe(false);
    expect(silence.hear(0, SILENT_AFTER_MS)).toBe(true);
    const quiet = new Silence();
    quiet.hear(0.0001, 0);
    expect(quiet.hear(0, SILENT_AFTER_MS * 2)).toBe(false);
    quiet.reset();
    quiet.hear(0, 50_000);
    expect(quiet.hear(0, 50_000 + SILENT_AFTER_MS)).toBe(true);
  });

  test('levels are on the scale of ears, and peaks are those of the samples', () => {
    expect(placeOf(0)).toBe(0);
    expect(placeOf(1)).toBe(1);
    expect(placeOf(10 ** (-36 / 20))).toBeCloseTo(0.5);
    expect(peakOf([0, -0.4, 0.2])).toBe(0.4);
    expect(peakOf([])).toBe(0);
  });
});

describe('an echo', () => {
  /** Speech and pauses, by a seed. */
  function speech(seed: number, length = 80): number[] {
    let state = seed;
    const random = () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
    return Array.from({ length }, (_, i) => (Math.sin(i / (3 + (seed % 3)) + seed) > 0 ? 0.5 + 0.4 * random() : 0.05 * random()));
  }

  test('is found at any delay that sound can have', () => {
    for (const lag of [1, 3, 6]) {
      const others = speech(7);
      const own = others.map((_, i) => 0.4 * (others[i - lag] ?? 0) + 0.02);
      expect(echoOf(others, own)).toBeGreaterThan(ALIKE);
    }
  });

  test('is not two people who talk, nor one who does not', () => {
    for (const [a, b] of [[1, 2], [3, 4], [5, 8], [7, 12]]) expect(echoOf(speech(a ?? 0), speech(b ?? 0))).toBeLessThan(ALIKE);
    expect(echoOf(speech(7), Array(80).fill(0))).toBe(0);
    expect(echoOf(Array(80).fill(0.5), speech(7))).toBe(0);
  });

  test('is told only after eight seconds of it', () => {
    const detector = new EchoDetector();
    const others = speech(7, 120);
    const told = others.map((level, i) => detector.hear(level, 0.5 * (others[i - 2] ?? 0)));
    expect(told.indexOf(true) * STEP_MS).toBeGreaterThanOrEqual(7_900);
  });
});

describe('devices that come and go', () => {
  const devices = (audioinput: string[], audiooutput: string[] = [], videoinput: string[] = []): Devices => {
    const of = (kind: string, labels: string[]) => labels.map((label) => ({ id: `${kind} ${label}`, label }));
    return { audioinput: of('in', audioinput), audiooutput: of('out', audiooutput), videoinput: of('video', videoinput) };
  };

  test('a headset is offered as one thing, with both its ends', () => {
    const plugged = pluggedIn(devices(['Built-in'], ['Built-in']), devices(['Built-in', 'Jabra (0b0e:0301)'], ['Built-in', 'Jabra']));
    expect(plugged).toEqual({
      label: 'Jabra',
      choices: [{ kind: 'audioinput', id: 'in Jabra (0b0e:0301)' }, { kind: 'audiooutput', id: 'out Jabra' }],
    });
    expect(shortLabel('Camera (046d:0825)')).toBe('Camera');
  });

  test('nothing is offered when something goes, nor when names become known', () => {
    expect(pluggedIn(devices(['a', 'b']), devices(['a']))).toBeUndefined();
    const nameless: Devices = { audioinput: [{ id: 'x', label: '' }], audiooutput: [], videoinput: [] };
    expect(pluggedIn(nameless, devices(['Built-in']))).toBeUndefined();
  });

  test('what was in use and is gone is found', () => {
    const before = devices(['a', 'b'], ['s'], ['c']);
    expect(unplugged(before, devices(['b'], ['s'], ['c']), { audioinput: 'in a', videoinput: 'video c' })).toEqual(['audioinput']);
    expect(unplugged(before, devices(['a'], ['s'], ['c']), { audioinput: 'in a' })).toEqual([]);
  });
});

describe('the hints of a call', () => {
  const person = (identity: string, change: Partial<Person> = {}): Person => ({
    identity, name: identity, isLocal: identity === 'me', speaking: false, muted: false, connection: 'good', camera: undefined, ...change,
  });

  class FakeTrack {
    static last = 0;
    readonly id: string;
    enabled = true;
    muted = false;
    stopped = false;
    constructor(readonly deviceId: string, id = `track ${++FakeTrack.last}`) {
      this.id = id;
    }
    clone(): FakeTrack {
      const copy = new FakeTrack(this.deviceId);
      copy.enabled = this.enabled;
      copies.push(copy);
      return copy;
    }
    stop(): void {
      this.stopped = true;
    }
    getSettings() {
      return { deviceId: this.deviceId };
    }
  }
  let copies: FakeTrack[] = [];

  function setUp() {
    copies = [];
    let now = 0;
    let level = 0;
    let peak = 0.01;
    let measured: ((level: number, peak: number) => void) | undefined;
    const ticks: (() => void)[] = [];
    let timers: { at: number; then: () => void }[] = [];
    const chosen: string[] = [];
    const track = new FakeTrack('in a');
    track.enabled = false;
    const call = {
      value: { people: [person('me'), person('ada')], microphone: { on: false, changing: false } } as unknown as RoomState,
      microphoneTrack: track as unknown as MediaStreamTrack | undefined,
      othersLevel: 0,
      chooseDevice: async (kind: string, id: string) => void chosen.push(`${kind} ${id}`),
    };
    let listed: { kind: string; deviceId: string; label: string }[] = [
      { kind: 'audioinput', deviceId: 'in a', label: 'A' },
      { kind: 'audioinput', deviceId: 'in b', label: 'B' },
    ];
    const events = new EventTarget();
    const world: HintWorld = {
      now: () => now,
      every: (_, then) => {
        ticks.push(then);
        return () => ticks.splice(ticks.indexOf(then), 1);
      },
      after: (ms, then) => {
        const timer = { at: now + ms, then };
        timers.push(timer);
        return () => (timers = timers.filter((each) => each !== timer));
      },
      measure: (_, onLevel) => {
        measured = onLevel;
        return () => (measured = undefined);
      },
      devices: Object.assign(events, { enumerateDevices: async () => listed as unknown as MediaDeviceInfo[] }) as never,
    };
    const hints = new HintModel(call, world);
    const pass = (ms: number) => {
      for (const end = now + ms; now < end; ) {
        now += STEP_MS;
        measured?.(level, peak);
        for (const tick of [...ticks]) tick();
        for (const due of timers.filter((each) => each.at <= now)) {
          timers = timers.filter((each) => each !== due);
          due.then();
        }
      }
    };
    return {
      hints, call, pass, chosen, track, ticks,
      loud: (value: number) => (level = value),
      peak: (value: number) => (peak = value),
      list: async (...next: string[]) => {
        listed = next.map((id) => ({ kind: 'audioinput', deviceId: `in ${id}`, label: id.toUpperCase() }));
        events.dispatchEvent(new Event('devicechange'));
        pass(500);
        await settled();
        await settled();
      },
      isMeasured: () => measured !== undefined,
    };
  }

  test('“you are muted” comes when one speaks while muted, from a copy that hears, and goes by itself or when one unmutes', () => {
    const { hints, call, pass, loud } = setUp();
    pass(2_000);
    expect(hints.value.mutedTalk).toBe(false);
    loud(0.8);
    pass(1_500);
    expect(copies[0]?.enabled).toBe(true);
    expect(hints.value.mutedTalk).toBe(true);
    loud(0);
    pass(SHOWN_MS);
    expect(hints.value.mutedTalk).toBe(false);
    loud(0.8);
    pass(AGAIN_AFTER_MS - SHOWN_MS + 1_000);
    expect(hints.value.mutedTalk).toBe(true);
    call.value = { ...call.value, microphone: { on: true, changing: false } };
    pass(100);
    expect(hints.value.mutedTalk).toBe(false);
  });

  test('a microphone that is on and gives nothing is told, unless dismissed, until it gives something', () => {
    const { hints, call, pass, peak, track } = setUp();
    call.value = { ...call.value, microphone: { on: true, changing: false } };
    peak(0);
    pass(SILENT_AFTER_MS + 200);
    expect(hints.value.silent).toBe('silent');
    hints.dismiss('silent');
    pass(1_000);
    expect(hints.value.silent).toBeUndefined();
    peak(0.01);
    pass(200);
    track.muted = true;
    pass(200);
    expect(hints.value.silent).toBe('system');
  });

  test('one’s own weak network is told after a while, and can be dismissed', () => {
    const { hints, call, pass } = setUp();
    call.value = { ...call.value, people: [person('me', { connection: 'weak' }), person('ada')] };
    pass(6_000);
    expect(hints.value.weak).toBe(true);
    hints.dismiss('weak');
    pass(6_000);
    expect(hints.value.weak).toBe(false);
  });

  test('a device that is plugged in is offered, and taken only when the user says so', async () => {
    const { hints, chosen, list, pass } = setUp();
    await settled();
    await list('a', 'b', 'jabra');
    expect(hints.value.plugged).toEqual({ label: 'JABRA', choices: [{ kind: 'audioinput', id: 'in jabra' }] });
    expect(chosen).toEqual([]);
    if (hints.value.plugged !== undefined) await hints.switchTo(hints.value.plugged);
    expect(chosen).toEqual(['audioinput in jabra']);
    expect(hints.value.plugged).toBeUndefined();
    await list('a', 'b', 'jabra', 'other');
    pass(OFFER_MS);
    expect(hints.value.plugged).toBeUndefined();
  });

  test('when the microphone in use is pulled out, the next one is used at once', async () => {
    const { hints, chosen, list } = setUp();
    await settled();
    await list('b');
    expect(chosen).toEqual(['audioinput in b']);
    expect(hints.value.gone).toBe('microphone');
  });

  test('closing ends all that listens, and lets the copy go', () => {
    const { hints, pass, ticks, isMeasured } = setUp();
    pass(200);
    expect(isMeasured()).toBe(true);
    hints.close();
    expect(isMeasured()).toBe(false);
    expect(ticks).toHaveLength(0);
    expect(copies.every((copy) => copy.stopped)).toBe(true);
  });
});

describe('around the call', () => {
  test('the screen stays on while the page is seen, and is asked for again when it is seen anew', async () => {
    let asked = 0;
    let released = 0;
    let visible = true;
    let seen: () => void = () => undefined;
    const end = keepAwake({
      request: async () => {
        asked++;
        return { release: async () => void released++ };
      },
      isVisible: () => visible,
      onVisible: (then) => {
        seen = then;
        return () => (seen = () => undefined);
      },
    });
    await settled();
    visible = false;
    seen();
    expect(asked).toBe(1);
    visible = true;
    seen();
    await settled();
    expect(asked).toBe(2);
    end();
    seen();
    expect(asked).toBe(2);
    expect(released).toBe(1);
  });

  test('a lock that comes after the call has ended is given back', async () => {
    let released = 0;
    const end = keepAwake({
      request: async () => ({ release: async () => void released++ }),
      isVisible: () => true,
      onVisible: () => () => undefined,
    });
    end();
    await settled();
    expect(released).toBe(1);
  });

  test('the tab’s mark has a stroke through it when the microphone is off, so that it does not hang on colour', () => {
    const strokes = (state: 'on' | 'muted') => {
      let count = 0;
      const nothing = () => undefined;
      drawTabIcon(
        { beginPath: nothing, roundRect: nothing, moveTo: nothing, lineTo: nothing, arc: nothing, fill: nothing, stroke: () => void count++, fillStyle: '', strokeStyle: '', lineWidth: 1, lineCap: 'round' },
        state,
      );
      return count;
    };
    expect(strokes('muted')).toBe(strokes('on') + 1);
  });

  test('the test melody is played by the chosen loudspeaker, and closes what it opened even when it fails', async () => {
    const played: string[] = [];
    const parameter = { setValueAtTime: () => undefined, linearRampToValueAtTime: () => undefined, value: 0 };
    const node = { frequency: parameter, gain: parameter, connect: () => node, start: () => played.push('note'), stop: () => undefined };
    const context = (resume: () => Promise<void>) =>
      ({
        currentTime: 0, destination: {}, resume,
        setSinkId: async (id: string) => void played.push(`sink ${id}`),
        createOscillator: () => node,
        createGain: () => node,
        close: async () => void played.push('closed'),
      }) as unknown as AudioContext;
    await playTone('s1', () => context(async () => undefined));
    expect(played).toEqual(['sink s1', 'note', 'note', 'note', 'closed']);
    played.length = 0;
    await expect(playTone(undefined, () => context(() => Promise.reject(new Error('no'))))).rejects.toThrow('no');
    expect(played).toEqual(['closed']);
  });

  test('browsers are told apart where their permissions are at different places', () => {
    const apple = 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15';
    expect(browserOf('Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36')).toBe('chromium');
    expect(browserOf('Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0')).toBe('firefox');
    expect(browserOf(apple)).toBe('safari');
    expect(browserOf(apple, 5)).toBe('safari-ios');
    expect(browserOf('Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 Version/17.4 Mobile/15E148 Safari/604.1')).toBe('safari-ios');
    expect(browserOf('Lynx/2.9')).toBe('other');
  });
});
