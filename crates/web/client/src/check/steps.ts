// SPDX-License-Identifier: EUPL-1.2
/** The check as a whole: one step after the other, each with what was tried, what was seen, and what to do about it. */
import { numbered } from '../messages/format.ts';
import { m } from '../messages/index.ts';
import { Store } from '../store.ts';
import type { Called, PathResult } from './loop.ts';
import type { Path } from './paths.ts';
import { judge } from './stats.ts';

export const STEPS = ['browser', 'secure', 'camera', 'microphone', 'socket', 'call', 'quality', 'udp', 'tcp', 'relay'] as const;
export type StepId = (typeof STEPS)[number];

/** `fair`: it works, but not as it might. `skipped`: there was nothing to try. */
export type Verdict = 'good' | 'fair' | 'bad' | 'skipped';

/** Words are functions: they are called where they are shown, in the language of that moment. */
export interface Outcome {
  verdict: Verdict;
  seen: () => string;
  advice?: () => string;
}

export interface CheckState {
  phase: 'idle' | 'running' | 'done';
  /** The step under way. */
  now: StepId | undefined;
  outcomes: Partial<Record<StepId, Outcome>>;
}

/** What the steps ask of the world; tests give another. */
export interface Probes {
  browser(): { name: string; able: boolean; encrypts: boolean };
  secure(): boolean;
  device(kind: 'camera' | 'microphone'): Promise<'works' | 'silent' | 'denied' | 'absent' | 'busy' | 'failed'>;
  socket(): Promise<boolean>;
  call(): Promise<Called>;
  path(path: Path): Promise<PathResult>;
}

export class Check extends Store<CheckState> {
  readonly #probes: Probes;

  constructor(probes: Probes) {
    super({ phase: 'idle', now: undefined, outcomes: {} });
    this.#probes = probes;
  }

  /** Runs all steps. A step that fails in a way of its own is a bad outcome, and the next one is tried all the same. */
  async run(): Promise<void> {
    if (this.value.phase === 'running') return;
    this.set({ phase: 'running', now: undefined, outcomes: {} });
    let called: Called | undefined;
    for (const id of STEPS) {
      this.patch({ now: id });
      let outcome: Outcome;
      try {
        outcome = await this.#step(id, () => called, (made) => (called = made));
      } catch {
        outcome = { verdict: 'bad', seen: () => m.check_failed(), advice: () => m.check_failed_advice() };
      }
      this.patch({ outcomes: { ...this.value.outcomes, [id]: outcome } });
    }
    this.patch({ phase: 'done', now: undefined });
  }

  async #step(id: StepId, called: () => Called | undefined, keep: (made: Called) => void): Promise<Outcome> {
    switch (id) {
      case 'browser':
        return browserOutcome(this.#probes.browser());
      case 'secure':
        return this.#probes.secure()
          ? { verdict: 'good', seen: () => m.check_secure_good() }
          : { verdict: 'bad', seen: () => m.check_secure_bad(), advice: () => m.check_secure_advice() };
      case 'camera':
      case 'microphone':
        return deviceOutcome(id, await this.#probes.device(id));
      case 'socket':
        return (await this.#probes.socket())
          ? { verdict: 'good', seen: () => m.check_socket_good() }
          : { verdict: 'bad', seen: () => m.check_socket_bad(), advice: () => m.check_socket_advice() };
      case 'call': {
        const made = await this.#probes.call();
        keep(made);
        return callOutcome(made);
      }
      case 'quality':
        return qualityOutcome(called());
      default:
        return pathOutcome(id, await this.#probes.path(id));
    }
  }
}

function browserOutcome({ name, able, encrypts }: ReturnType<Probes['browser']>): Outcome {
  if (!able) return { verdict: 'bad', seen: () => m.check_browser_bad({ name }), advice: () => m.check_browser_advice() };
  if (!encrypts) return { verdict: 'fair', seen: () => m.check_browser_fair({ name }), advice: () => m.check_browser_fair_advice() };
  return { verdict: 'good', seen: () => m.check_browser_good({ name }) };
}

function deviceOutcome(kind: 'camera' | 'microphone', state: Awaited<ReturnType<Probes['device']>>): Outcome {
  const camera = kind === 'camera';
  switch (state) {
    case 'works':
      return { verdict: 'good', seen: () => (camera ? m.check_camera_good() : m.check_microphone_good()) };
    case 'silent':
      return {
        verdict: 'fair',
        seen: () => (camera ? m.check_camera_dark() : m.check_microphone_silent()),
        advice: () => (camera ? m.check_camera_dark_advice() : m.check_microphone_silent_advice()),
      };
    case 'denied':
      return { verdict: 'bad', seen: () => (camera ? m.denied_camera() : m.denied_microphone()), advice: () => m.check_denied_advice() };
    case 'absent':
      return { verdict: 'fair', seen: () => (camera ? m.absent_camera() : m.absent_microphone()), advice: () => m.check_absent_advice() };
    case 'busy':
      return { verdict: 'bad', seen: () => (camera ? m.busy_camera() : m.busy_microphone()), advice: () => m.check_busy_advice() };
    default:
      return { verdict: 'bad', seen: () => (camera ? m.failed_camera() : m.failed_microphone()), advice: () => m.check_busy_advice() };
  }
}

function callOutcome({ connectMs, picture, sound, way, encrypted }: Called): Outcome {
  if (!picture && !sound) return { verdict: 'bad', seen: () => m.check_call_nothing(), advice: () => m.check_call_advice() };
  if (!picture) return { verdict: 'bad', seen: () => m.check_call_no_picture(), advice: () => m.check_call_advice() };
  if (!sound) return { verdict: 'bad', seen: () => m.check_call_no_sound(), advice: () => m.check_call_sound_advice() };
  const seen = () => {
    const time = numbered(connectMs);
    return encrypted ? m.check_call_good_encrypted({ time }) : m.check_call_good({ time });
  };
  if (way === 'udp' || way === undefined) return { verdict: 'good', seen };
  return { verdict: 'fair', seen, advice: () => m.check_call_way_advice() };
}

function qualityOutcome(called: Called | undefined): Outcome {
  const figures = called?.figures;
  if (figures === undefined) return { verdict: 'skipped', seen: () => m.check_quality_none() };
  const { upKbps, downKbps, lossPercent, jitterMs, roundTripMs } = figures;
  const verdict = judge(figures);
  const seen = () =>
    m.check_quality_seen({
      up: numbered(upKbps),
      down: numbered(downKbps),
      loss: numbered(lossPercent),
      jitter: jitterMs === undefined ? '–' : numbered(jitterMs),
      trip: roundTripMs === undefined ? '–' : numbered(roundTripMs),
    });
  return verdict === 'good' ? { verdict, seen } : { verdict, seen, advice: () => m.check_quality_advice() };
}

function pathOutcome(path: Path, result: PathResult): Outcome {
  const name = { udp: 'UDP', tcp: 'TCP', relay: 'TURN' }[path];
  if (result === 'works') return { verdict: 'good', seen: () => m.check_path_works({ name }) };
  if (result === 'absent') return { verdict: 'skipped', seen: () => m.check_path_absent({ name }) };
  const advice = { udp: () => m.check_udp_advice(), tcp: () => m.check_tcp_advice(), relay: () => m.check_relay_advice() }[path];
  return { verdict: path === 'udp' ? 'fair' : 'bad', seen: () => m.check_path_blocked({ name }), advice };
}

/** What is done in a step, as it is shown before anything is known of it. */
export const TRIED: Record<StepId, () => string> = {
  browser: () => m.check_tried_browser(),
  secure: () => m.check_tried_secure(),
  camera: () => m.check_tried_camera(),
  microphone: () => m.check_tried_microphone(),
  socket: () => m.check_tried_socket(),
  call: () => m.check_tried_call(),
  quality: () => m.check_tried_quality(),
  udp: () => m.check_tried_udp(),
  tcp: () => m.check_tried_tcp(),
  relay: () => m.check_tried_relay(),
};

export const TITLES: Record<StepId, () => string> = {
  browser: () => m.check_title_browser(),
  secure: () => m.check_title_secure(),
  camera: () => m.check_title_camera(),
  microphone: () => m.check_title_microphone(),
  socket: () => m.check_title_socket(),
  call: () => m.check_title_call(),
  quality: () => m.check_title_quality(),
  udp: () => m.check_title_udp(),
  tcp: () => m.check_title_tcp(),
  relay: () => m.check_title_relay(),
};

export const VERDICTS: Record<Verdict, () => string> = {
  good: () => m.check_verdict_good(),
  fair: () => m.check_verdict_fair(),
  bad: () => m.check_verdict_bad(),
  skipped: () => m.check_verdict_skipped(),
};
