// SPDX-License-Identifier: EUPL-1.2
// From joining to the first decoded remote picture, on loopback, in Chromium, for both signalling forms in turn.
import { execSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { closeBrowsers, open, servePage } from '../support/browsers.mjs';
import { Server, token } from '../support/server.mjs';

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean', default: false }, json: { type: 'string' } } });
const RUNS = flags.quick ? 8 : 40;
const FORMS = [['v1', '/rtc/v1, one connection', true], ['v0', '/rtc, two connections', false]];
const TARGETS = { p50: 500, p95: 1000 };

const server = await Server.start();
const page = await servePage();
const times = { v0: [], v1: [] };
try {
  const room = 'bench';
  const sender = await open('chromium', page.url);
  await sender.ask('connect', { url: server.ws, token: token(room, 'sender') });
  await sender.ask('publishBars', { width: 640, height: 360, fps: 30, videoCodec: 'vp8', simulcast: false });
  // One run of each form first that is not counted: it fills the browser's caches.
  for (let run = -1; run < RUNS; run++) {
    for (const [form, , singlePeerConnection] of FORMS) {
      const receiver = await open('chromium', page.url);
      const { seen } = await receiver.ask('joinAndSee', {
        identity: 'sender', url: server.ws, token: token(room, `receiver-${form}-${run}`), options: { singlePeerConnection },
      });
      if (run >= 0) times[form].push(seen);
      await receiver.ask('leave');
      await receiver.close();
    }
  }
} finally {
  await closeBrowsers();
  page.close();
  await server.stop();
}

const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
const figures = [];
for (const [form] of FORMS) {
  const sorted = times[form].toSorted((one, other) => one - other);
  for (const [name, share] of [['p50', 0.5], ['p95', 0.95]]) {
    const value = Math.round(at(sorted, share));
    figures.push({
      name: `join_to_first_frame_${form}_${name}`, unit: 'ms', median: value, min: Math.round(sorted[0]),
      max: Math.round(sorted.at(-1)), runs: RUNS, target: TARGETS[name], met: value < TARGETS[name],
    });
  }
}
const chromium = execSync('/usr/bin/chromium --version', { encoding: 'utf8' }).trim();
const report = {
  machine: { cpu: cpus()[0].model, cores: cpus().length, memory_gib: Math.round(totalmem() / 2 ** 30), kernel: release() },
  versions: { chromium, node: process.version },
  figures,
};
console.log('join to first decoded remote picture, loopback, milliseconds');
console.table(figures.map(({ name, median, min, max, runs, target, met }) => ({ figure: name, value: median, min, max, runs, target: `< ${target}`, met })));
if (flags.json) writeFileSync(flags.json, `${JSON.stringify(report, null, 2)}\n`);
