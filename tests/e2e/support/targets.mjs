// SPDX-License-Identifier: EUPL-1.2
// Places that streams are pushed to: nginx with its RTMP module, and srt-live-transmit. Each writes what it gets to a file.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { eventually } from './check.mjs';

/** A TCP port that nobody has at the moment. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

class Target {
  async stop(signal = 'SIGKILL') {
    const child = this.child;
    this.child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await new Promise((done) => child.once('exit', done));
  }
}

/** nginx, which takes RTMP at `live/…`. */
export class Rtmp extends Target {
  constructor(folder, port) {
    super();
    Object.assign(this, { folder, port, files: join(folder, `rtmp-${port}`) });
    mkdirSync(this.files, { recursive: true });
    this.configuration = join(folder, `nginx-${port}.conf`);
    writeFileSync(this.configuration, `
load_module ${process.env.PARVIS_NGINX_RTMP};
daemon off; master_process off; pid ${this.files}.pid; error_log ${this.files}.log info;
events {}
rtmp { access_log off; server { listen 127.0.0.1:${port}; application live { live on; record all; record_path ${this.files}; record_unique on; } } }
`);
  }

  async start() {
    this.child = spawn(process.env.PARVIS_NGINX, ['-e', `${this.files}.log`, '-c', this.configuration], { stdio: 'inherit' });
    await eventually('nginx', () => existsSync(`${this.files}.pid`));
    return this;
  }

  url(key) {
    return `rtmp://127.0.0.1:${this.port}/live/${key}`;
  }

  /** What was recorded of a stream, in the order in which its connections came. */
  recorded(key) {
    const own = readdirSync(this.files).filter((name) => name.startsWith(`${key}-`)).map((name) => join(this.files, name));
    return own.sort((one, next) => statSync(one).birthtimeMs - statSync(next).birthtimeMs);
  }
}

/** srt-live-transmit, which takes one caller. */
export class Srt extends Target {
  constructor(folder, port) {
    super();
    Object.assign(this, { port, file: join(folder, `srt-${port}.ts`) });
  }

  async start() {
    this.child = spawn('srt-live-transmit', ['-q', `srt://127.0.0.1:${this.port}?mode=listener`, 'file://con'], { stdio: ['ignore', openSync(this.file, 'w'), 'ignore'] });
    return this;
  }

  url() {
    return `srt://127.0.0.1:${this.port}?streamid=hushhushhush`;
  }
}

/** Pictures of a file in RGB: the last one, or that at so many seconds before its end. */
export function lastPicture(path, { width, height }) {
  const size = width * height * 3;
  const bytes = execFileSync('ffmpeg', ['-v', 'fatal', '-i', path, '-vf', 'fps=2', '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', `${width}x${height}`, '-'], { maxBuffer: 1 << 30 });
  const frame = bytes.subarray(bytes.length - size);
  return (x, y) => [...frame.subarray((y * width + x) * 3).subarray(0, 3)];
}
