// SPDX-License-Identifier: EUPL-1.2
// A certificate from an authority that we did not write (Pebble), validated on the server's own port.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { connect } from 'node:tls';
import { eventually } from '../support/check.mjs';
import { Server } from '../support/server.mjs';

const { PARVIS_PEBBLE: BIN, PARVIS_PEBBLE_CERTIFICATES: CERTIFICATES } = process.env;
const KEY_ID = 'operator';
const HMAC = 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W';
const running = [];
const folders = [];
after(async () => {
  for (const each of running) await each.stop();
  for (const each of folders) rmSync(each, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

/** Ports that are free now. */
async function ports(count) {
  const servers = Array.from({ length: count }, () => createServer());
  for (const server of servers) await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const found = servers.map((server) => server.address().port);
  for (const server of servers) await new Promise((done) => server.close(done));
  return found;
}

function child(program, args, env = {}) {
  if (!BIN) throw new Error('PARVIS_PEBBLE is not set: run these tests by `cargo xtask e2e`');
  const process_ = spawn(join(BIN, program), args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  const log = [];
  for (const stream of [process_.stdout, process_.stderr]) stream.on('data', (data) => log.push(String(data)));
  const exited = new Promise((done) => process_.once('exit', done));
  const stop = async () => {
    process_.kill('SIGKILL');
    await exited;
  };
  running.push({ stop });
  return log;
}

/** An authority that validates at `tlsPort` of this machine, whatever the name. */
async function authority(tlsPort, externalAccount) {
  const [listen, management, dns, challenges] = await ports(4);
  const folder = mkdtempSync(join(tmpdir(), 'parvis-pebble-'));
  folders.push(folder);
  const config = {
    pebble: {
      listenAddress: `127.0.0.1:${listen}`,
      managementListenAddress: `127.0.0.1:${management}`,
      certificate: join(CERTIFICATES, 'localhost/cert.pem'),
      privateKey: join(CERTIFICATES, 'localhost/key.pem'),
      httpPort: 1,
      tlsPort,
      ocspResponderURL: '',
      externalAccountBindingRequired: externalAccount,
      externalAccountMACKeys: externalAccount ? { [KEY_ID]: HMAC } : {},
    },
  };
  writeFileSync(join(folder, 'pebble.json'), JSON.stringify(config));
  const names = child('pebble-challtestsrv', ['-management', `127.0.0.1:${challenges}`, '-dnsserver', `127.0.0.1:${dns}`, '-http01', '', '-https01', '', '-tlsalpn01', '', '-doh', '', '-defaultIPv6', '']);
  await eventually('the name server', () => names.join('').includes('Starting management server'));
  const log = child('pebble', ['-config', join(folder, 'pebble.json'), '-dnsserver', `127.0.0.1:${dns}`], { PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0' });
  await eventually('the authority', () => log.join('').includes('Listening on'));
  return { directory: `https://127.0.0.1:${listen}/dir`, log };
}

/** The certificate that the server shows for a name; null when the handshake fails. */
function shown(port, servername) {
  return new Promise((done) => {
    const socket = connect({ port, host: '127.0.0.1', servername, rejectUnauthorized: false }, () => {
      done(socket.getPeerCertificate());
      socket.destroy();
    });
    socket.on('error', () => done(null));
  });
}

const toml = (directory, names, more = '') => `
[media]
addresses = ["127.0.0.1"]
[tls.acme]
directory = "${directory}"
names = ${JSON.stringify(names)}
root_file = "${join(CERTIFICATES ?? '', 'pebble.minica.pem')}"
${more}
`;

describe('certificates by ACME', () => {
  it('are issued for every name, kept, and shown again after a restart without asking', async () => {
    const [http] = await ports(1);
    const names = ['meet.example.org', 'turn.example.org'];
    const { directory, log } = await authority(http, false);
    const server = await Server.configured(toml(directory, names), `127.0.0.1:${http}`);
    running.push(server);
    await eventually('a certificate', async () => (await shown(http, names[0]))?.subjectaltname, 30_000);
    const first = await shown(http, names[0]);
    // The names of a certificate have no order.
    assert.deepEqual(first.subjectaltname.split(', ').sort(), names.map((name) => `DNS:${name}`));
    assert.match(first.issuer.CN, /Pebble/);
    for (const name of ['key.pem', 'account.json']) {
      assert.equal(statSync(join(server.data, 'acme', name)).mode & 0o077, 0, `${name} is the server's alone`);
    }
    const orders = log.join('').match(/There are now (\d+) orders/g)?.length;
    server.process.kill('SIGKILL');
    await server.exited;
    await server.runAt(`127.0.0.1:${http}`, '--config', join(server.data, 'parvis.toml'), '--metrics', '127.0.0.1:0');
    const again = await shown(http, names[0]);
    assert.equal(again.serialNumber, first.serialNumber, 'the one that was kept');
    assert.equal(log.join('').match(/There are now (\d+) orders/g)?.length, orders, 'nothing was ordered again');
  });

  it('are issued to an account that the authority gave out beforehand, and to nobody without it', async () => {
    const [http] = await ports(1);
    const { directory } = await authority(http, true);
    const without = await Server.configured(toml(directory, ['meet.example.org']), `127.0.0.1:${http}`);
    running.push(without);
    await eventually('a refusal', () => without.log.join('\n').includes('no new certificate'));
    assert.match(without.log.join('\n'), /externalAccountRequired/);
    assert.equal(await shown(http, 'meet.example.org'), null, 'no certificate, no handshake');
    without.process.kill('SIGKILL');
    await without.exited;
    const more = `eab_key_id = "${KEY_ID}"\neab_key_file = "eab.key"\n`;
    const server = await Server.configured(toml(directory, ['meet.example.org'], more), `127.0.0.1:${http}`, { 'eab.key': HMAC });
    running.push(server);
    await eventually('a certificate', async () => (await shown(http, 'meet.example.org'))?.issuer?.CN, 30_000);
  });
});
