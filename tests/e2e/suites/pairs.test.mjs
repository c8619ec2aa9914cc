// SPDX-License-Identifier: EUPL-1.2
// Every pair of Chromium, Firefox ESR, the Python SDK and the Node SDK sees and hears each other, in VP8 and Opus.
import { after, afterEach, before, describe, it } from 'node:test';
import { assertBars, assertTone } from '../support/check.mjs';
import { HERTZ, SMALL, Stage } from '../support/call.mjs';
import { shows } from '../support/shows.mjs';

const KINDS = ['chromium', 'firefox', 'python', 'rtc-node'];
let stage;
before(async () => (stage = await Stage.open()));
after(() => stage?.close());

async function publish(caller) {
  const browser = ['chromium', 'firefox'].includes(caller.kind);
  await caller.ask('publishBars', { ...SMALL, ...(browser ? { videoCodec: 'vp8', simulcast: false } : {}) });
  await caller.ask('publishTone', { hertz: HERTZ });
}

describe('four kinds of client in one room', () => {
  const callers = {};
  before(async () => {
    const room = stage.room();
    for (const kind of KINDS) callers[kind] = await stage.join(kind, room, `the-${kind}`);
    for (const kind of KINDS) await publish(callers[kind]);
  });
  after(() => stage.clear());
  for (const to of KINDS) {
    for (const from of KINDS.filter((kind) => kind !== to)) {
      it(`${to} sees and hears ${from}`, shows({ [to]: ['join', 'subscribe'], [from]: ['join', 'publish'] }, async () => {
        assertBars(await callers[to].ask('seen', { identity: `the-${from}` }), `${to} of ${from}`);
        assertTone(await callers[to].ask('heard', { identity: `the-${from}` }), HERTZ, `${to} of ${from}`);
      }));
    }
  }
});

describe('two of a kind', () => {
  afterEach(() => stage.clear());
  for (const kind of KINDS) {
    it(`${kind} and ${kind} see and hear each other`, shows({ [kind]: ['join', 'publish', 'subscribe'] }, async () => {
      const room = stage.room();
      const [one, other] = [await stage.join(kind, room, 'one'), await stage.join(kind, room, 'other')];
      await Promise.all([publish(one), publish(other)]);
      assertBars(await one.ask('seen', { identity: 'other' }), 'one');
      assertBars(await other.ask('seen', { identity: 'one' }), 'other');
      assertTone(await one.ask('heard', { identity: 'other' }), HERTZ, 'one');
      assertTone(await other.ask('heard', { identity: 'one' }), HERTZ, 'other');
    }));
  }
});
