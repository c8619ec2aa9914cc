// SPDX-License-Identifier: EUPL-1.2
import { expect, test } from 'vitest';
import { type Counters, countersOf, figuresOf, reportOf } from '../src/room/stats.ts';

type Entry = Record<string, unknown> & { type: string };
const report = (...entries: Entry[]) => new Map(entries.map((entry, i) => [String(entry.id ?? i), entry]));
const ADA = { identity: 'ada', name: 'Ada', isLocal: false, source: 'camera' };
const ME = { identity: 'me', name: 'Me', isLocal: true, source: 'camera' };

const inbound = (timestamp: number, bytesReceived: number, packetsReceived: number, packetsLost: number): Entry => ({
  type: 'inbound-rtp', timestamp, bytesReceived, packetsReceived, packetsLost, jitter: 0.004, frameWidth: 640, frameHeight: 360, framesPerSecond: 24, codecId: 'c2',
});
const CODECS: Entry[] = [
  { type: 'codec', id: 'c1', mimeType: 'audio/opus' },
  { type: 'codec', id: 'c2', mimeType: 'video/VP8' },
];
const PAIR: Entry = { type: 'candidate-pair', nominated: true, state: 'succeeded', currentRoundTripTime: 0.031 };

test('what is received: the rate and the loss of the time between two readings, not since the beginning', () => {
  const before = countersOf(report(inbound(1_000, 100_000, 100, 50), ...CODECS, PAIR), ADA);
  const now = countersOf(report(inbound(3_000, 350_000, 290, 60), ...CODECS, PAIR), ADA);
  const [figures] = figuresOf([before], [now]);
  expect(figures).toMatchObject({ identity: 'ada', kilobits: 1_000, lostPercent: 5, width: 640, height: 360, fps: 24, codec: 'VP8' });
  expect(figures?.roundTripMs).toBeCloseTo(31);
  expect(figures?.jitterMs).toBeCloseTo(4);
});

test('what is sent: all layers together, the size of the largest, and the loss that the server has told', () => {
  const sent = (timestamp: number, factor: number): Entry[] => [
    { type: 'outbound-rtp', id: 'l', timestamp, bytesSent: 10_000 * factor, packetsSent: 10 * factor, frameWidth: 320, frameHeight: 180 },
    { type: 'outbound-rtp', id: 'h', timestamp, bytesSent: 90_000 * factor, packetsSent: 90 * factor, frameWidth: 1280, frameHeight: 720, framesPerSecond: 30 },
    { type: 'remote-inbound-rtp', id: 'r', fractionLost: 0.02, roundTripTime: 0.05, jitter: 0.001 },
  ];
  const [figures] = figuresOf([countersOf(report(...sent(0, 0)), ME)], [countersOf(report(...sent(1_000, 1)), ME)]);
  expect(figures).toMatchObject({ kilobits: 800, lostPercent: 2, width: 1280, height: 720, fps: 30 });
  // Without a candidate pair, the server's own word.
  expect(figures?.roundTripMs).toBeCloseTo(50);
});

test('a new track, another connection and a report without figures give no line that is wrong', () => {
  const at = (timestamp: number, bytes: number) => countersOf(report(inbound(timestamp, bytes, 1, 0)), ADA);
  expect(figuresOf([], [at(1_000, 5)])).toEqual([]);
  expect(figuresOf([at(1_000, 500)], [at(3_000, 20)])).toEqual([]);
  expect(figuresOf([at(1_000, 5)], [at(1_000, 5)])).toEqual([]);
  const empty = countersOf(report(), ADA);
  expect(figuresOf([empty], [empty])).toEqual([]);
});

test('the report can be sent to anyone: it has the figures, and no name and no identity', () => {
  const line = (change: Partial<Counters>, at: number): Counters => ({ ...countersOf(report(inbound(at, at * 100, at, 0), ...CODECS, PAIR), ADA), ...change });
  const all = (at: number) => [line({}, at), line({ identity: 'secret-bo', name: 'Bo' }, at), line({ ...ME }, at)];
  const text = reportOf(figuresOf(all(1_000), all(2_000)), { browser: 'Browser 1', atIso: '2026-01-01T00:00:00Z' });
  expect(text).toContain('received from 1, camera: 800 kbit/s');
  expect(text).toContain('received from 2, camera: 800 kbit/s');
  expect(text).toContain('sent, camera: 800 kbit/s');
  expect(text).toContain('640x360');
  for (const secret of ['Ada', 'ada', 'Bo', 'secret', 'Me']) expect(text).not.toContain(secret);
});
