// SPDX-License-Identifier: EUPL-1.2
/** What the user is told during the call, when it is the time for it: one hint of each kind at most, and none that was dismissed. */
import { placeOf } from '../devices/level.ts';
import { listDevices } from '../devices/media.ts';
import type { Person, RoomState } from '../room/state.ts';
import { NetworkHint } from '../stage/quality.ts';
import { Store } from '../store.ts';
import { EchoDetector, STEP_MS } from './echo.ts';
import { type Devices, type PlugKind, type Plugged, pluggedIn, unplugged } from './plug.ts';
import { MutedTalk, Silence } from './voice.ts';

export interface Hints {
  /** The user speaks, and the microphone is off. */
  mutedTalk: boolean;
  /** The microphone is on and gives nothing; or the system holds it. */
  silent: 'silent' | 'system' | undefined;
  /** The others hear themselves. */
  echo: boolean;
  /** The user's own network is weak. */
  weak: boolean;
  plugged: Plugged | undefined;
  /** What was pulled out, and has been replaced. */
  gone: 'microphone' | 'camera' | 'speaker' | undefined;
}

export type HintKind = keyof Hints;

const NONE: Hints = { mutedTalk: false, silent: undefined, echo: false, weak: false, plugged: undefined, gone: undefined };

/** How long a hint stays that asks for nothing. */
export const SHOWN_MS = 8_000;
/** An offer may be thought about. */
export const OFFER_MS = 20_000;
/** The browser needs a moment to know all parts of a headset. */
const SETTLE_MS = 400;

interface Call {
  readonly value: RoomState;
  readonly microphoneTrack: MediaStreamTrack | undefined;
  readonly othersLevel: number;
  chooseDevice(kind: MediaDeviceKind, deviceId: string): Promise<void>;
}

export interface HintWorld {
  now(): number;
  every(ms: number, then: () => void): () => void;
  after(ms: number, then: () => void): () => void;
  measure(track: MediaStreamTrack, onLevel: (level: number, peak: number) => void): () => void;
  devices: Pick<MediaDevices, 'enumerateDevices' | 'addEventListener' | 'removeEventListener'> | undefined;
}

export class HintModel extends Store<Hints> {
  readonly #call: Call;
  readonly #world: HintWorld;
  readonly #muted = new MutedTalk();
  readonly #silence = new Silence();
  readonly #echo = new EchoDetector();
  readonly #network = new NetworkHint();
  readonly #ends: (() => void)[] = [];
  readonly #timers = new Map<HintKind, () => void>();
  #measured: { track: MediaStreamTrack; id: string; end: () => void } | undefined;
  #level = 0;
  #peak = 0;
  #known: Devices | undefined;
  #listing = false;
  #dismissed = new Set<HintKind>();

  constructor(call: Call, world: HintWorld) {
    super(NONE);
    this.#call = call;
    this.#world = world;
    this.#ends.push(world.every(STEP_MS, () => this.#tick()));
    const changed = () => void this.#plugs();
    world.devices?.addEventListener('devicechange', changed);
    this.#ends.push(() => world.devices?.removeEventListener('devicechange', changed));
    void this.#list().then((devices) => (this.#known = devices));
  }

  dismiss(kind: HintKind): void {
    if (kind === 'weak') this.#network.dismiss();
    this.#dismissed.add(kind);
    this.#hide(kind);
  }

  /** Takes what was offered. */
  async switchTo(plugged: Plugged): Promise<void> {
    this.#hide('plugged');
    for (const { kind, id } of plugged.choices) await this.#call.chooseDevice(kind, id);
  }

  close(): void {
    for (const end of this.#ends) end();
    for (const end of this.#timers.values()) end();
    this.#release();
  }

  #tick(): void {
    const now = this.#world.now();
    const call = this.#call.value;
    const own = call.people.find((p) => p.isLocal);
    this.#show('weak', this.#network.update(own?.connection ?? 'good', now));
    const track = this.#call.microphoneTrack;
    this.#follow(track);
    if (track === undefined) return;
    const on = call.microphone.on && !call.microphone.changing;
    if (on) this.#whileOn(track, call.people, now);
    else this.#whileOff(now, call.microphone.changing);
    this.#peak = 0;
  }

  #whileOn(track: MediaStreamTrack, people: readonly Person[], now: number): void {
    this.#muted.reset();
    this.#hide('mutedTalk');
    const silent = track.muted ? 'system' : this.#silence.hear(this.#peak, now) ? 'silent' : undefined;
    if (silent === undefined) this.#dismissed.delete('silent');
    if (!this.#dismissed.has('silent')) this.#show('silent', silent);
    if (people.length < 2) return this.#echo.reset();
    if (this.#echo.hear(placeOf(this.#call.othersLevel), this.#level) && !this.#dismissed.has('echo')) {
      this.#briefly('echo', true, OFFER_MS);
    }
  }

  #whileOff(now: number, changing: boolean): void {
    this.#silence.reset();
    this.#echo.reset();
    this.#hide('silent');
    if (!changing && this.#muted.hear(this.#level, now)) this.#briefly('mutedTalk', true, SHOWN_MS);
  }

  /** Measures a copy of the track, since the track itself gives nothing while it is off. */
  #follow(track: MediaStreamTrack | undefined): void {
    if (track?.id === this.#measured?.id) return;
    this.#release();
    this.#level = 0;
    this.#peak = 0;
    this.#silence.reset();
    this.#echo.reset();
    if (track === undefined) return;
    const copy = track.clone();
    copy.enabled = true;
    const end = this.#world.measure(copy, (level, peak) => {
      this.#level = level;
      this.#peak = Math.max(this.#peak, peak);
    });
    this.#measured = { track: copy, id: track.id, end };
  }

  #release(): void {
    this.#measured?.end();
    this.#measured?.track.stop();
    this.#measured = undefined;
  }

  async #plugs(): Promise<void> {
    if (this.#listing) return;
    this.#listing = true;
    await new Promise<void>((done) => this.#world.after(SETTLE_MS, done));
    this.#listing = false;
    const [before, now] = [this.#known, await this.#list()];
    this.#known = now;
    if (before === undefined) return;
    const track = this.#call.microphoneTrack;
    const microphone = track?.getSettings().deviceId;
    const inUse: Partial<Record<PlugKind, string>> = microphone === undefined ? {} : { audioinput: microphone };
    for (const kind of unplugged(before, now, inUse)) {
      // The default: what the system falls back to.
      const other = now[kind][0];
      if (other === undefined) continue;
      await this.#call.chooseDevice(kind, other.id);
      this.#briefly('gone', kind === 'videoinput' ? 'camera' : kind === 'audioinput' ? 'microphone' : 'speaker', SHOWN_MS);
    }
    const plugged = pluggedIn(before, now);
    if (plugged !== undefined) this.#briefly('plugged', plugged, OFFER_MS);
  }

  async #list(): Promise<Devices> {
    const { cameras, microphones, speakers } = await listDevices(this.#world.devices);
    return { audioinput: microphones, videoinput: cameras, audiooutput: speakers };
  }

  #show<K extends HintKind>(kind: K, value: Hints[K]): void {
    if (this.value[kind] !== value) this.patch({ [kind]: value } as Partial<Hints>);
  }

  #briefly<K extends HintKind>(kind: K, value: Hints[K], ms: number): void {
    this.#timers.get(kind)?.();
    this.#show(kind, value);
    this.#timers.set(kind, this.#world.after(ms, () => this.#hide(kind)));
  }

  #hide(kind: HintKind): void {
    this.#timers.get(kind)?.();
    this.#timers.delete(kind);
    this.#show(kind, NONE[kind]);
  }
}
