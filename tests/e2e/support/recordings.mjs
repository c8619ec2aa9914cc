// SPDX-License-Identifier: EUPL-1.2
// Recordings, as a moderator and an application's server ask for them, and as whoever has the key opens them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ageKeys } from './age.mjs';
import { BARS, eventually } from './check.mjs';
import { token } from './server.mjs';

const MEDIA = process.env.PARVIS_MEDIA;
export const keys = ageKeys();

/** `allow_unconfined`: kernels of test machines have no landlock; what is missing is then in the log. */
export const configuration = (more = '') => `
[media]
addresses = ["127.0.0.1"]
tcp = false
[webhooks]
urls = []
[recording]
enabled = true
allow_unconfined = true
recipients = ["${keys.recipient}"]
progress_interval = "1s"
min_free_bytes = 0
${more}
`;

/** Our own plain HTTP, as a moderator asks. */
export async function ask(server, method, path, body, grants = {}) {
  const room = decodeURIComponent(/rooms\/([^/]+)/.exec(path)[1]);
  const bearer = token(room, '', { roomAdmin: true, roomJoin: false, ...grants }, '', server.key);
  const answer = await fetch(`${server.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${bearer}`, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: await answer.json() };
}

/** The calls of LiveKit's egress service, in their JSON form. */
export async function egress(server, method, body) {
  const bearer = token('', '', { roomRecord: true, roomJoin: false }, '', server.key);
  const answer = await fetch(`${server.url}/twirp/livekit.Egress/${method}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json() };
}

export async function begin(server, room, wish = {}) {
  const begun = await ask(server, 'POST', `/api/rooms/${room}/recordings`, wish);
  assert.equal(begun.status, 201, JSON.stringify(begun.body));
  return begun.body.id;
}

export const recording = async (server, room, id) =>
  (await ask(server, 'GET', `/api/rooms/${room}/recordings`)).body.recordings.find((each) => each.id === id);

export const until = (server, room, id, status, milliseconds) =>
  eventually(`${id} to be ${status}`, async () => {
    const now = await recording(server, room, id);
    return now.status === status && now;
  }, milliseconds);

export async function stop(server, room, id) {
  const stopped = await ask(server, 'POST', `/api/rooms/${room}/recordings/${id}/stop`);
  assert.equal(stopped.status, 200, JSON.stringify(stopped.body));
  return until(server, room, id, 'EGRESS_COMPLETE');
}

export const kept = (server, id) => join(server.data, 'recordings', 'default', id);

export const manifestOf = (server, id) => JSON.parse(readFileSync(join(kept(server, id), 'manifest.json')));

/** Opens recordings with the key that they were sealed for, into a folder of its own. */
export class Opener {
  #folder = mkdtempSync(join(tmpdir(), 'parvis-opened-'));
  #count = 0;

  open(server, id, identity = keys.identity) {
    return this.openAt(kept(server, id), identity);
  }

  /** One that lies in this folder. */
  openAt(folder, identity = keys.identity) {
    const key = join(this.#folder, `identity-${++this.#count}`);
    const to = join(this.#folder, `opened-${this.#count}`);
    writeFileSync(key, identity);
    execFileSync(MEDIA, ['export', folder, '--identity', key, '--to', to], { stdio: 'pipe' });
    const names = readdirSync(to);
    const lines = names.filter((name) => name.endsWith('.jsonl')).flatMap((name) => readFileSync(join(to, name), 'utf8').trim().split('\n'));
    return { to, manifest: JSON.parse(readFileSync(join(folder, 'manifest.json'))), files: names.filter((name) => name.endsWith('.mkv')), timeline: lines.map((line) => JSON.parse(line)) };
  }

  close() {
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

export const probe = (path) => JSON.parse(execFileSync('ffprobe', ['-v', 'error', '-show_streams', '-show_format', '-of', 'json', path]));

/** The bars of a frame near the end, as the mean colour of each bar's middle. */
export function barsOf(path, { width, height }) {
  const frames = execFileSync('ffmpeg', ['-v', 'error', '-i', path, '-vsync', 'passthrough', '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', `${width}x${height}`, '-'], { maxBuffer: 1 << 30 });
  const size = width * height * 3;
  const frame = frames.subarray(frames.length - size);
  const row = Math.floor(height / 3);
  const bars = BARS.map((_, bar) => {
    const column = Math.floor((bar + 0.5) * width / BARS.length);
    return [...frame.subarray((row * width + column) * 3).subarray(0, 3)];
  });
  return { count: frames.length / size, bars };
}

/** The pitch of a sound by its rising zero crossings, over its second half. */
export function pitchOf(path) {
  const bytes = execFileSync('ffmpeg', ['-v', 'error', '-i', path, '-f', 's16le', '-ac', '1', '-ar', '48000', '-'], { maxBuffer: 1 << 28 });
  const samples = new Int16Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / 2));
  const half = samples.subarray(Math.floor(samples.length / 2));
  let crossings = 0;
  for (let at = 1; at < half.length; at++) if (half[at - 1] < 0 && half[at] >= 0) crossings++;
  return { hertz: crossings * 48000 / half.length, seconds: samples.length / 48000, loudest: half.reduce((most, level) => Math.max(most, Math.abs(level)), 0) };
}
