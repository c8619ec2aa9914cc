// SPDX-License-Identifier: EUPL-1.2
// A server of our own for each suite, on ports that the system chooses, and tokens for it.
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const BINARY = process.env.PARVIS_SERVER;
const KEY = 'devkey';
const SECRET = 'secret';

/** A running server. */
export class Server {
  /** Starts `parvis serve --dev` and waits until it serves. */
  static async start(...flags) {
    const server = new Server();
    server.data = mkdtempSync(join(tmpdir(), 'parvis-e2e-'));
    return server.run('--dev', ...flags);
  }

  /** The same with a configuration of its own: what `toml` says, and the key that tokens are signed with. */
  static async configured(toml, http = '127.0.0.1:0', files = {}) {
    const server = new Server();
    server.data = mkdtempSync(join(tmpdir(), 'parvis-e2e-'));
    server.key = { name: 'main', secret: '0123456789abcdef0123456789abcdef' };
    writeFileSync(join(server.data, 'main.secret'), server.key.secret);
    for (const [name, content] of Object.entries(files)) writeFileSync(join(server.data, name), content);
    return server.runAt(http, '--config', server.configure(toml), '--metrics', '127.0.0.1:0');
  }

  /** Writes its configuration, which a running server reads when it is told to. Gives the file. */
  configure(toml) {
    const file = join(this.data, 'parvis.toml');
    writeFileSync(file, `${toml}\n[[keys]]\nname = "main"\nsecret_file = "main.secret"\n`);
    return file;
  }

  /** Has it read its configuration anew; gives the line of the log that says what came of it. */
  async reload(toml) {
    this.configure(toml);
    const from = this.log.length;
    this.signal('SIGHUP');
    for (;;) {
      const line = this.log.slice(from).find((line) => /the configuration (was read anew|stays as it was)/.test(line));
      // The log has colours.
      if (line) return line.replaceAll(/\x1b\[[0-9;]*m/g, '');
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  async run(...flags) {
    return this.runAt('127.0.0.1:0', ...flags);
  }

  /** Starts it with HTTP at an address and port of the test's choice. */
  async runAt(http, ...flags) {
    if (!BINARY) throw new Error('PARVIS_SERVER is not set: run these tests by `cargo xtask e2e`');
    const server = this;
    const ports = ['--http', http, '--media-ports', '0', '--tcp-port', '0', '--data', server.data];
    server.process = spawn(BINARY, ['serve', ...flags, ...ports], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, RUST_LOG: process.env.RUST_LOG ?? 'info' },
    });
    server.log = [];
    createInterface({ input: server.process.stderr }).on('line', (line) => server.log.push(line));
    server.exited = new Promise((done) => server.process.once('exit', (code, signal) => done({ code, signal })));
    server.url = await new Promise((done, failed) => {
      createInterface({ input: server.process.stdout }).on('line', (line) => {
        const ready = /^ready (https?:\S+)/.exec(line);
        if (ready) done(ready[1].replace(/\/$/, ''));
      });
      server.exited.then(({ code }) => failed(new Error(`the server ended with ${code}:\n${server.log.join('\n')}`)));
    });
    return server;
  }

  /** Where SDKs connect. */
  get ws() {
    return this.url.replace(/^http/, 'ws');
  }

  /** What Prometheus reads. */
  async metrics() {
    // The log has colours.
    const log = this.log.join('\n').replaceAll(/\x1b\[[0-9;]*m/g, '');
    const address = /metrics=([\d.:]+)/.exec(log)[1];
    return { address, page: await (await fetch(`http://${address}/metrics`)).text() };
  }

  /** A figure of /metrics: the sum over all whose labels are among them, such as `{ shard: 0 }`. */
  async figure(name, labels = {}) {
    const { page } = await this.metrics();
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
    const lines = [...page.matchAll(new RegExp(`^${name}(?:\\{(.*)\\})? ([\\d.e+]+)$`, 'gm'))];
    const found = lines.filter(([, own = '']) => wanted.every((label) => own.split(',').includes(label)));
    if (found.length === 0) throw new Error(`no figure ${name} with ${wanted}:\n${page}`);
    return found.reduce((sum, [, , value]) => sum + Number(value), 0);
  }

  /** Sends a signal. */
  signal(name) {
    this.process.kill(name);
  }

  /** Ends the server, by force if it doesn't go. */
  async stop() {
    this.process.kill('SIGKILL');
    await this.exited;
    // Its workers end by themselves once it is gone, and until then they write.
    rmSync(this.data, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

/** A token as an application would make it. */
export function token(room, identity, grants = {}, name = identity, key = { name: KEY, secret: SECRET }) {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: key.name,
    sub: identity,
    name,
    nbf: now - 5,
    exp: now + 3600,
    video: { roomJoin: true, room, canPublish: true, canSubscribe: true, canPublishData: true, ...grants },
  };
  return sign(claims, key.secret);
}

/** A token with these claims. */
export function sign(claims, secret) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}
