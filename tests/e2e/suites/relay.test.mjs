// SPDX-License-Identifier: EUPL-1.2
// Calls that go through the relay and nothing else, and one port for everything else: HTTPS, WebSocket, TURN, ICE-TCP.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { openChromium } from '../support/browsers.mjs';
import { selfSigned } from '../support/certificate.mjs';
import { assertBars, assertTone, eventually } from '../support/check.mjs';
import { HERTZ, SMALL, Stage } from '../support/call.mjs';
import { Server } from '../support/server.mjs';

const TOML = `
[media]
addresses = ["127.0.0.1"]
[turn]
enabled = true
host = "127.0.0.1"
udp_port = 0
[tls]
certificate = "chain.pem"
key = "key.pem"
[sessions]
simulate = true
`;

let stage;
before(async () => {
  // The test page's own requests go to wss: with a certificate that the browser is told to take.
  stage = await Stage.over(await Server.configured(TOML, '127.0.0.1:0', selfSigned()));
});
after(() => stage?.close());
afterEach(() => stage.clear());

/** A Chromium that takes our certificate, in the call. */
async function enter(room, identity, options = {}) {
  const caller = await openChromium(stage.page.url, '--ignore-certificate-errors', '--allow-insecure-localhost');
  stage.callers.push(caller);
  await stage.connect(caller, room, identity, options);
  await caller.ask('publishBars', { ...SMALL, videoCodec: 'vp8', simulcast: false });
  await caller.ask('publishTone', { hertz: HERTZ });
  return caller;
}

describe('the relay', () => {
  for (const [how, relay] of [['udp', ['turn:', 'udp']], ['tcp', ['turn:', 'tcp']], ['tls', ['turns:', 'tcp']]]) {
    it(`carries a call over ${how} when nothing else is let through`, async () => {
      const room = stage.room();
      const far = await enter(room, 'far', { relay });
      const near = await enter(room, 'near');
      for (const [who, whom] of [[far, 'near'], [near, 'far']]) {
        assertBars(await who.ask('seen', { identity: whom }), `${how}: ${whom}`);
        assertTone(await who.ask('heard', { identity: whom }), HERTZ, `${how}: ${whom}`);
      }
      const { pairs } = await far.ask('stats');
      assert.ok(pairs.length > 0);
      for (const pair of pairs) assert.deepEqual([pair.type, pair.relay], ['relay', how]);
      await far.ask('say', { text: 'through the relay' });
      await near.ask('untilData', { from: 'far', text: 'through the relay' });
    });
  }

  it('carries whoever asks for TLS, and it alone', async () => {
    const room = stage.room();
    const [far, near] = [await enter(room, 'far'), await enter(room, 'near')];
    assertBars(await near.ask('seen', { identity: 'far' }), 'before');
    const at = await far.ask('simulate', { scenario: 'force-tls' });
    await far.ask('untilEvent', { name: 'Reconnected', after: at, milliseconds: 40_000 });
    for (const [who, whom] of [[far, 'near'], [near, 'far']]) {
      assertBars(await who.ask('seen', { identity: whom, atLeast: 5 }), whom);
      assertTone(await who.ask('heard', { identity: whom }), HERTZ, whom);
    }
    const { pairs } = await far.ask('stats');
    assert.ok(pairs.length > 0);
    for (const pair of pairs) assert.deepEqual([pair.type, pair.relay], ['relay', 'tls']);
    for (const pair of (await near.ask('stats')).pairs) assert.notEqual(pair.type, 'relay');
  });

  it('lets nobody in who has left', async () => {
    const allocations = () => stage.server.figure('parvis_turn_allocations');
    const far = await enter(stage.room(), 'far', { relay: ['turn:', 'udp'] });
    await eventually('an allocation', async () => (await allocations()) > 0);
    await far.ask('leave');
    await eventually('no allocation', async () => (await allocations()) === 0);
  });
});

describe('one port', () => {
  it('takes ICE over TCP beside pages and signalling', async () => {
    const room = stage.room();
    const flags = ['--force-webrtc-ip-handling-policy=disable_non_proxied_udp', '--webrtc-ip-handling-policy=disable_non_proxied_udp'];
    const blocked = await openChromium(stage.page.url, '--ignore-certificate-errors', '--allow-insecure-localhost', ...flags);
    stage.callers.push(blocked);
    // Without the relay, which it would take as well.
    await stage.connect(blocked, room, 'blocked', { connectOptions: { rtcConfig: { iceServers: [] } } });
    const one = await enter(room, 'one');
    assertBars(await blocked.ask('seen', { identity: 'one' }), 'over TCP');
    for (const pair of (await blocked.ask('stats')).pairs) assert.equal(pair.protocol, 'tcp');
    assertTone(await blocked.ask('heard', { identity: 'one' }), HERTZ, 'over TCP');
    await one.ask('leave');
  });
});
