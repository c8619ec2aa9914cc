// SPDX-License-Identifier: EUPL-1.2
/** Figures of a connection, out of what the browser counts. */

/** One look at what is sent and what is received, each with its time in milliseconds. */
export interface Look {
  atMs: number;
  sentBytes: number;
  receivedBytes: number;
  receivedPackets: number;
  lostPackets: number;
  /** In seconds; nothing where the browser does not know yet. */
  jitter: number | undefined;
  roundTrip: number | undefined;
}

export interface Figures {
  upKbps: number;
  downKbps: number;
  lossPercent: number;
  jitterMs: number | undefined;
  roundTripMs: number | undefined;
}

/** Each entry of a report of the browser, as far as it is read here. */
type Entry = Record<string, unknown>;

export function lookAt(sent: Iterable<Entry>, received: Iterable<Entry>, atMs: number): Look {
  const look: Look = { atMs, sentBytes: 0, receivedBytes: 0, receivedPackets: 0, lostPackets: 0, jitter: undefined, roundTrip: undefined };
  for (const entry of sent) {
    if (entry.type === 'outbound-rtp') look.sentBytes += number(entry.bytesSent) + number(entry.headerBytesSent);
    if (entry.type === 'remote-inbound-rtp') look.roundTrip = largest(look.roundTrip, entry.roundTripTime);
    if (entry.type === 'candidate-pair' && entry.state === 'succeeded') look.roundTrip = largest(look.roundTrip, entry.currentRoundTripTime);
  }
  for (const entry of received) {
    if (entry.type !== 'inbound-rtp') continue;
    look.receivedBytes += number(entry.bytesReceived) + number(entry.headerBytesReceived);
    look.receivedPackets += number(entry.packetsReceived);
    look.lostPackets += number(entry.packetsLost);
    look.jitter = largest(look.jitter, entry.jitter);
  }
  return look;
}

/** What happened from the first look to the last. Nothing where there is no time between them. */
export function figuresOf(looks: readonly Look[]): Figures | undefined {
  const [first, last] = [looks[0], looks.at(-1)];
  if (first === undefined || last === undefined || last.atMs <= first.atMs) return undefined;
  // Bits a millisecond are kilobits a second.
  const rate = (from: number, to: number) => Math.max(0, Math.round(((to - from) * 8) / (last.atMs - first.atMs)));
  const lost = Math.max(0, last.lostPackets - first.lostPackets);
  const expected = lost + Math.max(0, last.receivedPackets - first.receivedPackets);
  const mean = (of: (look: Look) => number | undefined) => {
    const known = looks.map(of).filter((value) => value !== undefined);
    return known.length === 0 ? undefined : Math.round((known.reduce((a, b) => a + b, 0) / known.length) * 1000);
  };
  return {
    upKbps: rate(first.sentBytes, last.sentBytes),
    downKbps: rate(first.receivedBytes, last.receivedBytes),
    lossPercent: expected === 0 ? 0 : Math.round((lost / expected) * 1000) / 10,
    jitterMs: mean((look) => look.jitter),
    roundTripMs: mean((look) => look.roundTrip),
  };
}

/** `fair`: a call works, not at its best. The bounds are those at which people begin to notice (ITU-T G.114 for the delay). */
export function judge({ upKbps, downKbps, lossPercent, jitterMs = 0, roundTripMs = 0 }: Figures): 'good' | 'fair' | 'bad' {
  if (upKbps < 100 || downKbps < 100 || lossPercent > 10 || roundTripMs > 800) return 'bad';
  if (upKbps < 500 || downKbps < 500 || lossPercent > 2 || jitterMs > 50 || roundTripMs > 300) return 'fair';
  return 'good';
}

/** Which way the chosen pair of addresses goes; nothing where the browser does not tell. */
export function wayOf(entries: Iterable<Entry>): 'udp' | 'tcp' | 'relay' | undefined {
  const all = new Map<unknown, Entry>();
  for (const entry of entries) all.set(entry.id, entry);
  const transport = [...all.values()].find((entry) => entry.type === 'transport');
  const chosen =
    all.get(transport?.selectedCandidatePairId) ??
    [...all.values()].find((entry) => entry.type === 'candidate-pair' && (entry.selected === true || (entry.nominated === true && entry.state === 'succeeded')));
  const local = all.get(chosen?.localCandidateId);
  if (local?.candidateType === 'relay') return 'relay';
  return local?.protocol === 'udp' || local?.protocol === 'tcp' ? local.protocol : undefined;
}

function number(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

function largest(before: number | undefined, value: unknown): number | undefined {
  if (typeof value !== 'number') return before;
  return before === undefined ? value : Math.max(before, value);
}
