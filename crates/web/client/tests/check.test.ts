// SPDX-License-Identifier: EUPL-1.2
import { describe, expect, it } from 'vitest';
import { nameOfBrowser } from '../src/check/agent.ts';
import type { Called } from '../src/check/loop.ts';
import { fits, offersRelay, onlyPath, withServers } from '../src/check/paths.ts';
import { isGreen, isTone } from '../src/check/picture.ts';
import { reportOf } from '../src/check/report.ts';
import { figuresOf, judge, type Look, lookAt, wayOf } from '../src/check/stats.ts';
import { Check, type Probes, STEPS } from '../src/check/steps.ts';

const UDP = 'a=candidate:1 1 UDP 2130706431 192.0.2.7 7882 typ host';
const TCP = 'a=candidate:2 1 tcp 1671430143 192.0.2.7 7881 typ host tcptype passive';
const FIGURES = { upKbps: 1500, downKbps: 1400, lossPercent: 0.5, jitterMs: 4, roundTripMs: 30 };
const CALLED: Called = { connectMs: 210, picture: true, sound: true, encrypted: true, way: 'udp', figures: FIGURES };
const WELL: Probes = {
  browser: () => ({ name: 'Firefox 153 (Linux)', able: true, encrypts: true }),
  secure: () => true,
  device: async () => 'works',
  socket: async () => true,
  call: async () => CALLED,
  path: async () => 'works',
};

async function run(probes: Partial<Probes> = {}): Promise<Check> {
  const check = new Check({ ...WELL, ...probes });
  await check.run();
  return check;
}

describe('one way at a time', () => {
  it('leaves only the candidates of that way', () => {
    const sdp = ['v=0', UDP, TCP, 'a=mid:0'].join('\r\n');
    expect(onlyPath(sdp, 'udp')).toBe(['v=0', UDP, 'a=mid:0'].join('\r\n'));
    expect(onlyPath(sdp, 'tcp')).toBe(['v=0', TCP, 'a=mid:0'].join('\r\n'));
    expect(onlyPath(sdp, 'relay')).toBe(sdp);
    expect(fits(TCP.slice(2), 'tcp')).toBe(true);
    expect(fits(TCP.slice(2), 'udp')).toBe(false);
  });

  it('takes the relay out of the direct ways, and everything else out of the relay’s', () => {
    const configuration = { iceServers: [{ urls: ['turn:192.0.2.7:3478?transport=udp'] }] };
    expect(offersRelay(configuration)).toBe(true);
    expect(offersRelay({ iceServers: [{ urls: 'stun:192.0.2.7' }] })).toBe(false);
    expect(withServers(configuration, 'udp').iceServers).toEqual([]);
    expect(withServers(configuration, 'relay')).toEqual({ ...configuration, iceTransportPolicy: 'relay' });
  });
});

describe('figures', () => {
  it('are of the time between the first look and the last', () => {
    const look = (atMs: number, n: number): Look =>
      lookAt(
        [
          { type: 'outbound-rtp', bytesSent: 250_000 * n },
          { type: 'remote-inbound-rtp', roundTripTime: 0.04 },
        ],
        [{ type: 'inbound-rtp', bytesReceived: 125_000 * n, packetsReceived: 99 * n, packetsLost: n, jitter: 0.005 }],
        atMs,
      );
    const figures = figuresOf([look(1000, 1), look(2000, 2), look(3000, 3)]);
    expect(figures).toEqual({ upKbps: 2000, downKbps: 1000, lossPercent: 1, jitterMs: 5, roundTripMs: 40 });
    expect(figuresOf([look(1000, 1)])).toBeUndefined();
  });

  it('are judged by what people notice', () => {
    expect(judge(FIGURES)).toBe('good');
    expect(judge({ ...FIGURES, lossPercent: 5 })).toBe('fair');
    expect(judge({ ...FIGURES, roundTripMs: 400 })).toBe('fair');
    expect(judge({ ...FIGURES, upKbps: 60 })).toBe('bad');
    expect(judge({ ...FIGURES, lossPercent: 30 })).toBe('bad');
  });

  it('tell which way a call went', () => {
    const stats = (candidate: object) => [
      { id: 'T', type: 'transport', selectedCandidatePairId: 'P' },
      { id: 'Q', type: 'candidate-pair', localCandidateId: 'other', nominated: true, state: 'succeeded' },
      { id: 'P', type: 'candidate-pair', localCandidateId: 'L' },
      { id: 'L', type: 'local-candidate', ...candidate },
    ];
    expect(wayOf(stats({ candidateType: 'host', protocol: 'tcp' }))).toBe('tcp');
    expect(wayOf(stats({ candidateType: 'prflx', protocol: 'udp' }))).toBe('udp');
    expect(wayOf(stats({ candidateType: 'relay', protocol: 'udp' }))).toBe('relay');
    expect(wayOf([])).toBeUndefined();
  });
});

describe('what comes back', () => {
  it('is told from nothing', () => {
    expect(isGreen([10, 160, 90, 255])).toBe(true);
    expect(isGreen([0, 0, 0, 255])).toBe(false);
    expect(isGreen([])).toBe(false);
    const levels = new Float32Array(2048).fill(-100);
    expect(isTone(levels, 48_000 / 4096)).toBe(false);
    levels[38] = -20;
    expect(isTone(levels, 48_000 / 4096)).toBe(true);
    levels[100] = -10;
    expect(isTone(levels, 48_000 / 4096)).toBe(false);
  });
});

describe('the check', () => {
  it('runs all steps, and says of each what was seen', async () => {
    const { outcomes, phase } = (await run()).value;
    expect(phase).toBe('done');
    expect(Object.keys(outcomes)).toEqual([...STEPS]);
    for (const id of STEPS) expect(outcomes[id]?.verdict, id).toBe('good');
    expect(outcomes.quality?.seen()).toContain('1,500 kbit/s');
    expect(outcomes.call?.seen()).toContain('encrypted');
  });

  it('goes on when a step breaks, and says what to do', async () => {
    const { outcomes } = (await run({ call: () => Promise.reject(new Error('boom')), path: async () => 'blocked' })).value;
    expect(outcomes.call?.verdict).toBe('bad');
    expect(outcomes.quality?.verdict).toBe('skipped');
    expect(outcomes.udp?.verdict).toBe('fair');
    expect(outcomes.relay?.verdict).toBe('bad');
    expect(outcomes.relay?.advice?.()).toContain('TURN');
  });

  it('gives advice with everything that is not good', async () => {
    const worst: Partial<Probes>[] = [
      { browser: () => ({ name: 'X', able: false, encrypts: false }) },
      { browser: () => ({ name: 'X', able: true, encrypts: false }) },
      { secure: () => false },
      ...(['silent', 'denied', 'absent', 'busy', 'failed'] as const).map((state) => ({ device: async () => state })),
      { socket: async () => false },
      { call: async () => ({ ...CALLED, picture: false }) },
      { call: async () => ({ ...CALLED, sound: false }) },
      { call: async () => ({ ...CALLED, picture: false, sound: false }) },
      { call: async () => ({ ...CALLED, way: 'tcp' as const }) },
      { call: async () => ({ ...CALLED, figures: { ...FIGURES, lossPercent: 20 } }) },
      { path: async () => 'blocked' },
    ];
    for (const probes of worst) {
      const outcomes = Object.values((await run(probes)).value.outcomes);
      const wrong = outcomes.filter(({ verdict }) => verdict === 'bad' || verdict === 'fair');
      expect(wrong.length).toBeGreaterThan(0);
      for (const { advice, seen } of wrong) expect(advice?.(), seen()).toMatch(/\w{4}/);
    }
  });
});

describe('the report', () => {
  it('holds every step in words, and nothing of the person', async () => {
    const report = reportOf((await run()).value, 'Parvis', new Date('2027-03-03T14:05:09Z'));
    expect(report).toContain('Parvis');
    expect(report).toContain('2027-03-03T14:00Z');
    expect(report.match(/^\[Works\]/gm)).toHaveLength(STEPS.length);
    expect(report).toContain('Firefox 153 (Linux)');
    expect(report).not.toMatch(/\d+\.\d+\.\d+\.\d+|[\da-f]{0,4}::|https?:/);
  });

  it('names a browser without what tells one person from another', () => {
    const chromium = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.7000.12 Safari/537.36';
    expect(nameOfBrowser(chromium)).toBe('Chromium 156 (Linux)');
    expect(nameOfBrowser('Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:153.0) Gecko/20100101 Firefox/153.0')).toBe('Firefox 153 (Windows)');
    expect(nameOfBrowser('Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1')).toBe('Safari 18 (iOS)');
    expect(nameOfBrowser('curl')).toBe('?');
  });
});
