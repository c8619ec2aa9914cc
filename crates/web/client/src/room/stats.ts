// SPDX-License-Identifier: EUPL-1.2
/** What the browser counts of each track, made into figures that a person can read. Pure over the reports of WebRTC. */

export interface Whose {
  identity: string;
  name: string;
  isLocal: boolean;
  /** As the signalling names it: `camera`, `microphone`, `screen_share`, `screen_share_audio`. */
  source: string;
}

/** Sums since the beginning, and what holds now. */
export interface Counters extends Whose {
  atMs: number;
  bytes: number;
  packets: number;
  lost: number;
  /** Of what we send, as the server has told: from 0 to 1. */
  lostShare: number | undefined;
  roundTripMs: number | undefined;
  jitterMs: number | undefined;
  width: number | undefined;
  height: number | undefined;
  fps: number | undefined;
  codec: string | undefined;
}

/** One line of the panel. */
export interface Figures extends Whose {
  kilobits: number;
  /** From 0 to 100, of the last interval. */
  lostPercent: number | undefined;
  roundTripMs: number | undefined;
  jitterMs: number | undefined;
  width: number | undefined;
  height: number | undefined;
  fps: number | undefined;
  codec: string | undefined;
}

type Entry = Record<string, unknown> & { type: string; id?: string };

export function countersOf(report: { forEach(each: (entry: Entry) => void): void }, whose: Whose): Counters {
  const entries: Entry[] = [];
  report.forEach((entry) => entries.push(entry));
  const number = (entry: Entry | undefined, key: string) => (typeof entry?.[key] === 'number' ? (entry[key] as number) : undefined);
  const ours = entries.filter((entry) => entry.type === (whose.isLocal ? 'outbound-rtp' : 'inbound-rtp'));
  const sum = (key: string) => ours.reduce((total, entry) => total + (number(entry, key) ?? 0), 0);
  // Of several layers, the largest that is sent is what those see who look closely.
  const largest = [...ours].sort((a, b) => (number(b, 'frameWidth') ?? 0) - (number(a, 'frameWidth') ?? 0))[0];
  const remote = entries.filter((entry) => entry.type === 'remote-inbound-rtp');
  const pair =
    entries.find((entry) => entry.type === 'candidate-pair' && entry.nominated === true && entry.state === 'succeeded') ??
    entries.find((entry) => entry.type === 'candidate-pair' && number(entry, 'currentRoundTripTime') !== undefined);
  const roundTrip = number(pair, 'currentRoundTripTime') ?? greatest(remote.map((entry) => number(entry, 'roundTripTime')));
  const jitter = whose.isLocal
    ? greatest(remote.map((entry) => number(entry, 'jitter')))
    : greatest(ours.map((entry) => number(entry, 'jitter')));
  const codec = entries.find((entry) => entry.type === 'codec' && entry.id === largest?.codecId) ?? entries.find((entry) => entry.type === 'codec');
  return {
    ...whose,
    atMs: Math.max(0, ...ours.map((entry) => number(entry, 'timestamp') ?? 0)),
    bytes: sum(whose.isLocal ? 'bytesSent' : 'bytesReceived'),
    packets: sum(whose.isLocal ? 'packetsSent' : 'packetsReceived'),
    lost: whose.isLocal ? 0 : Math.max(0, sum('packetsLost')),
    lostShare: whose.isLocal ? greatest(remote.map((entry) => number(entry, 'fractionLost'))) : undefined,
    roundTripMs: roundTrip === undefined ? undefined : roundTrip * 1000,
    jitterMs: jitter === undefined ? undefined : jitter * 1000,
    width: number(largest, 'frameWidth'),
    height: number(largest, 'frameHeight'),
    fps: number(largest, 'framesPerSecond'),
    codec: typeof codec?.mimeType === 'string' ? codec.mimeType.replace(/^\w+\//, '') : undefined,
  };
}

/** The figures of the time between two readings. A track that is new has none until the next one. */
export function figuresOf(before: readonly Counters[], now: readonly Counters[]): Figures[] {
  const key = (each: Whose) => `${each.identity}\n${each.source}`;
  const former = new Map(before.map((each) => [key(each), each]));
  return now.flatMap((each) => {
    const from = former.get(key(each));
    // Counters that went back belong to another connection.
    if (from === undefined || each.atMs <= from.atMs || each.bytes < from.bytes) return [];
    const packets = each.packets - from.packets;
    const lost = Math.max(0, each.lost - from.lost);
    const { identity, name, isLocal, source, roundTripMs, jitterMs, width, height, fps, codec } = each;
    const received = packets + lost === 0 ? undefined : (100 * lost) / (packets + lost);
    return [
      {
        identity, name, isLocal, source, roundTripMs, jitterMs, width, height, fps, codec,
        kilobits: ((each.bytes - from.bytes) * 8) / (each.atMs - from.atMs),
        lostPercent: isLocal ? (each.lostShare === undefined ? undefined : each.lostShare * 100) : received,
      },
    ];
  });
}

/** The panel as text, to be sent to whoever helps. It names nobody. */
export function reportOf(figures: readonly Figures[], about: { browser: string; atIso: string }): string {
  const others = [...new Set(figures.filter((each) => !each.isLocal).map((each) => each.identity))];
  const lines = figures.map((each) => {
    const who = each.isLocal ? 'sent' : `received from ${others.indexOf(each.identity) + 1}`;
    const parts = [
      `${Math.round(each.kilobits)} kbit/s`,
      each.lostPercent === undefined ? undefined : `${each.lostPercent.toFixed(1)} % lost`,
      each.roundTripMs === undefined ? undefined : `${Math.round(each.roundTripMs)} ms round trip`,
      each.jitterMs === undefined ? undefined : `${Math.round(each.jitterMs)} ms jitter`,
      each.width === undefined || each.height === undefined ? undefined : `${each.width}x${each.height}`,
      each.fps === undefined ? undefined : `${Math.round(each.fps)} frames/s`,
      each.codec,
    ].filter((part) => part !== undefined);
    return `${who}, ${each.source}: ${parts.join(', ')}`;
  });
  return [`Parvis call statistics, ${about.atIso}`, about.browser, ...lines, ''].join('\n');
}

function greatest(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
