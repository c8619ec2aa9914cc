// SPDX-License-Identifier: EUPL-1.2
// Reverse proxies with the configurations that we hand to operators, in front of a test's server: as they are, but for addresses.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './check.mjs';
import { freePort } from './targets.mjs';

const PROXIES = new URL('../../../configs/proxies/', import.meta.url).pathname;

/** A handed-out configuration with each `[from, to]` replaced; all of them must be in it. */
function adapted(file, changes) {
  return changes.reduce((text, [from, to]) => {
    assert.ok(text.includes(from), `${file} has no ${from}`);
    return text.replaceAll(from, to);
  }, readFileSync(join(PROXIES, file), 'utf8'));
}

/** A proxy in front of `server`: where clients connect, with TLS. */
export class Proxy {
  static async nginx(server, certificate) {
    const proxy = await Proxy.#at(certificate);
    const site = adapted('nginx.conf', [
      ['listen 443 ssl http2;', `listen 127.0.0.1:${proxy.port} ssl http2;`], ['    listen [::]:443 ssl http2;\n', ''],
      ['/etc/ssl/meet.example.eu/chain.pem', join(proxy.folder, 'chain.pem')],
      ['/etc/ssl/private/meet.example.eu.pem', join(proxy.folder, 'key.pem')],
      ['server_name meet.example.eu', 'server_name localhost'], ['http://127.0.0.1:7880', server.url],
    ]);
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${proxy.folder};`).join(' ');
    const file = join(proxy.folder, 'nginx.conf');
    writeFileSync(file, `daemon off; master_process off; pid ${proxy.folder}/pid; error_log stderr warn;\nevents {}\nhttp { ${paths}\n${site}\n}\n`);
    return proxy.#start(process.env.PARVIS_NGINX, ['-e', 'stderr', '-c', file]);
  }

  static async haproxy(server) {
    const proxy = await Proxy.#at({});
    const { host } = new URL(server.url);
    const file = join(proxy.folder, 'haproxy.cfg');
    writeFileSync(file, adapted('haproxy.cfg', [['bind :::443 v4v6', `bind 127.0.0.1:${proxy.port}`], ['10.0.0.5:443 send-proxy-v2', `${host} send-proxy-v2`]]));
    return proxy.#start(process.env.PARVIS_HAPROXY, ['-db', '-f', file]);
  }

  static async #at(files) {
    const proxy = new Proxy();
    proxy.folder = mkdtempSync(join(tmpdir(), 'parvis-proxy-'));
    for (const [name, content] of Object.entries(files)) writeFileSync(join(proxy.folder, name), content);
    proxy.port = await freePort();
    return proxy;
  }

  async #start(program, flags) {
    this.child = spawn(program, flags, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.said = [];
    this.child.stderr.on('data', (data) => this.said.push(String(data)));
    this.exited = new Promise((done) => this.child.once('exit', done));
    return this;
  }

  get ws() {
    return `wss://127.0.0.1:${this.port}`;
  }

  async stop() {
    this.child.kill('SIGKILL');
    await this.exited;
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}
