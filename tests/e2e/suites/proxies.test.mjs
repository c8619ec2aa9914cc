// SPDX-License-Identifier: EUPL-1.2
// A call through the reverse proxies that we hand configurations for: pages, signalling and the meeting's socket pass, and the
// server knows who really connects.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { openChromium } from '../support/browsers.mjs';
import { selfSigned } from '../support/certificate.mjs';
import { assertBars, eventually } from '../support/check.mjs';
import { SMALL, Stage } from '../support/call.mjs';
import { Proxy } from '../support/proxies.mjs';
import { Server } from '../support/server.mjs';

const MEDIA = '[media]\naddresses = ["127.0.0.1"]\n';
const KINDS = {
  nginx: {
    toml: `${MEDIA}[http]\ntrusted_proxies = ["127.0.0.1"]\n`,
    files: {},
    start: (server, certificate) => Proxy.nginx(server, certificate),
  },
  HAProxy: {
    toml: `${MEDIA}[http]\ntrusted_proxies = ["127.0.0.1"]\nproxy_protocol_from = ["127.0.0.1"]\n[tls]\ncertificate = "chain.pem"\nkey = "key.pem"\n`,
    files: selfSigned(),
    start: (server) => Proxy.haproxy(server),
  },
};

for (const [kind, { toml, files, start }] of Object.entries(KINDS)) {
  describe(`behind ${kind}`, () => {
    let stage, proxy;
    before(async () => {
      stage = await Stage.over(await Server.configured(toml, '127.0.0.1:0', files));
      proxy = await start(stage.server, selfSigned());
    });
    after(async () => {
      await stage?.close();
      await proxy?.stop();
    });
    afterEach(() => stage.clear());

    it('two people see each other', async () => {
      const room = stage.room();
      const enter = async (identity) => {
        const caller = await openChromium(stage.page.url, '--ignore-certificate-errors', '--allow-insecure-localhost');
        stage.callers.push(caller);
        let trouble;
        // HAProxy tries its server every few seconds before it sends anybody there.
        await eventually(`${identity} to be let in`, () => stage.connect(caller, room, identity, { url: proxy.ws }).then(() => true, (error) => { trouble = error; return false; }))
          .catch((error) => { throw new Error(`${error.message}: ${trouble?.message}\n${proxy.said.join('')}\n${stage.server.log.slice(-5).join('\n')}`); });
        await caller.ask('publishBars', { ...SMALL, videoCodec: 'vp8', simulcast: false });
        return caller;
      };
      const ada = await enter('ada');
      const bob = await enter('bob');
      assertBars(await ada.ask('seen', { identity: 'bob' }), 'bob');
      assertBars(await bob.ask('seen', { identity: 'ada' }), 'ada');
      assert.equal(await stage.server.figure('parvis_edge_proxy_malformed_total'), 0, proxy.said.join(''));
      assert.ok(await stage.server.figure('parvis_joins_total', { outcome: 'ok' }) >= 2);
    });
  });
}
