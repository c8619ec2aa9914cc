// SPDX-License-Identifier: EUPL-1.2
// Measures the web client of a server in real browsers and writes down what came out: `cargo xtask bench web` makes a page of it.
import { execSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { closeBrowsers } from '../../tests/e2e/support/browsers.mjs';
import { Server } from '../../tests/e2e/support/server.mjs';
import { Visitors } from '../../tests/e2e/support/visitors.mjs';
import { atTheDoor, enter, firstPicture } from './call.mjs';
import { churn, steady } from './crowd.mjs';
import { audit, untilUsable } from './prejoin.mjs';
import { weigh } from './weight.mjs';

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean', default: false }, out: { type: 'string' } } });
const EXTENT = flags.quick
  ? { audits: 1, links: 3, calls: 4, minutes: 1, seconds: 5, churn: 10, every: 2 }
  : { audits: 5, links: 15, calls: 30, minutes: 3, seconds: 60, churn: 600, every: 15 };
/** A far server, as Lighthouse takes it to be. */
const FAR_MS = 150;
/** A crowd from one address, which an office or a load generator is; all else as it comes. */
const CONFIGURATION = `[http]
max_connections_per_address = 1000
joins_per_address = { burst = 100000, per_second = 100000 }
[rooms]
guests = true
[media]
addresses = ["127.0.0.1"]
[log]
level = "warn"
`;

const started = performance.now();
const say = (what) => console.log(`${Math.round((performance.now() - started) / 1000).toString().padStart(5)} s  ${what}`);
let rooms = 0;
const newRoom = () => `/r/${`webbenchroom${++rooms}x`.padEnd(26, '0')}`;
const times = (count, each) => Array.from({ length: count }, each);

const server = await Server.configured(CONFIGURATION);
const visitors = await Visitors.of(server);
const seen = { quick: flags.quick, extent: EXTENT };
try {
  say('Lighthouse');
  const { version, audits } = await audit(server, times(EXTENT.audits, newRoom));
  seen.lighthouse = audits;

  say('from the link to the page');
  seen.usable_ms = [];
  seen.usable_far_ms = [];
  for (let run = 0; run < EXTENT.links; run++) {
    seen.usable_ms.push(await untilUsable(visitors, newRoom(), 0));
    seen.usable_far_ms.push(await untilUsable(visitors, newRoom(), FAR_MS));
  }

  say('from the press of the button to the first picture');
  const room = newRoom();
  const ada = await atTheDoor(visitors, room, 'Ada');
  await enter(ada);
  seen.first_picture_ms = [];
  let fetched;
  // The first is not counted: the room's other half has hardly begun to send.
  for (let run = -1; run < EXTENT.calls; run++) {
    const call = await firstPicture(visitors, room, `Bo ${run + 2}`);
    fetched = call.fetched;
    if (run >= 0) seen.first_picture_ms.push(call.ms);
  }
  await ada.context.close();

  say('what is fetched for that');
  seen.weight = await weigh({ server, page: room, fetched, spoken: 'en' });

  say('25 tiles with 49 in the room');
  seen.steady = await steady({ server, visitors }, EXTENT);
  say('people come and go');
  seen.churn = await churn({ server, visitors }, { seconds: EXTENT.churn, every: EXTENT.every });

  const chromium = execSync('/usr/bin/chromium --version', { encoding: 'utf8' }).trim();
  seen.versions = { chromium, node: process.version, lighthouse: version };
} finally {
  await visitors.close();
  await closeBrowsers();
  await server.stop();
}
const text = JSON.stringify(seen, null, 1);
if (flags.out) writeFileSync(flags.out, `${text}\n`);
else console.log(text);
say('done');
