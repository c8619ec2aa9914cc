// SPDX-License-Identifier: EUPL-1.2
/** What to do when a device is plugged in or pulled out. */
import type { Device } from '../devices/media.ts';

export type PlugKind = 'audioinput' | 'videoinput' | 'audiooutput';

export type Devices = Record<PlugKind, readonly Device[]>;

export interface Plugged {
  /** Offered to the user, by the name that both its ends have. */
  label: string;
  /** What to switch, all at once: a headset is a microphone and a loudspeaker. */
  choices: { kind: PlugKind; id: string }[];
}

const KINDS: readonly PlugKind[] = ['audioinput', 'audiooutput', 'videoinput'];

/** The new device, where there is one with a name. */
export function pluggedIn(before: Devices, now: Devices): Plugged | undefined {
  const fresh = KINDS.flatMap((kind) =>
    now[kind]
      // Names that were hidden until the user allowed the devices are not news.
      .filter((device) => device.label !== '' && before[kind].every((each) => each.id !== device.id && each.label !== ''))
      .map((device) => ({ kind, ...device })),
  );
  const first = fresh[0];
  if (first === undefined) return undefined;
  const sameThing = fresh.filter((each) => shortLabel(each.label) === shortLabel(first.label));
  const oneOfEach = KINDS.map((kind) => sameThing.find((each) => each.kind === kind)).filter((each) => each !== undefined);
  return { label: shortLabel(first.label), choices: oneOfEach.map(({ kind, id }) => ({ kind, id })) };
}

/** The kinds whose device in use has gone. */
export function unplugged(before: Devices, now: Devices, inUse: Partial<Record<PlugKind, string>>): PlugKind[] {
  return KINDS.filter((kind) => {
    const id = inUse[kind];
    return id !== undefined && before[kind].some((each) => each.id === id) && now[kind].every((each) => each.id !== id);
  });
}

/** "Microphone (Jabra Evolve) (0b0e:0301)" without the numbers that nobody reads. */
export function shortLabel(label: string): string {
  return label.replace(/\s*\([0-9a-f]{4}:[0-9a-f]{4}\)\s*$/i, '').trim();
}
