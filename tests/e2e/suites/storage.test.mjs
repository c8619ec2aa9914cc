// SPDX-License-Identifier: EUPL-1.2
// A room that is recorded by itself, into a storage that speaks S3 (Versity's gateway, which keeps objects as files): all that was
// kept lies there, opens with the key, is fetched by a link, and goes when it is erased.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { SMALL, HERTZ, Stage } from '../support/call.mjs';
import { assertBars, eventually } from '../support/check.mjs';
import { Opener, ask, barsOf, configuration, kept, pitchOf, recording, stop } from '../support/recordings.mjs';
import { Server } from '../support/server.mjs';
import { freePort } from '../support/targets.mjs';

const BUCKET = 'protocols';
const root = mkdtempSync(join(tmpdir(), 'parvis-storage-'));
let gateway, port, stage, opener;

before(async () => {
  port = await freePort();
  mkdirSync(join(root, BUCKET));
  gateway = spawn(process.env.PARVIS_STORAGE, ['--port', `127.0.0.1:${port}`, '--access', 'AKIA', '--secret', 'hush', '--quiet', 'posix', root], { stdio: 'ignore' });
  await eventually('the storage', () => fetch(`http://127.0.0.1:${port}/`).then(() => true, () => false));
  const toml = configuration(`
[recording.storage]
endpoint = "http://127.0.0.1:${port}"
bucket = "${BUCKET}"
prefix = "parvis"
credentials_file = "storage.key"
keep_local = false
[rooms]
record = "capture"
`);
  stage = await Stage.over(await Server.configured(toml, undefined, { 'storage.key': 'AKIA\nhush\n' }));
  opener = new Opener();
});
after(async () => {
  await stage?.close();
  opener?.close();
  if (gateway && gateway.exitCode === null) {
    gateway.kill();
    await new Promise((done) => gateway.once('exit', done));
  }
  rmSync(root, { recursive: true, force: true });
});

/** The folders in the bucket that are called like this. */
const lying = (name) => readdirSync(join(root, BUCKET), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name === name)
  .map((entry) => join(entry.parentPath ?? entry.path, entry.name));

describe('a room that records itself', () => {
  it('is seen to, and leaves all of it in the storage and nothing here', { timeout: 120_000 }, async () => {
    const room = stage.room();
    const ada = await stage.join('python', room, 'ada');
    await ada.ask('publishBars', SMALL);
    await ada.ask('publishTone', { hertz: HERTZ });
    const { id } = await eventually('a recording that nobody asked for', async () => {
      const { body } = await ask(stage.server, 'GET', `/api/rooms/${room}/recordings`);
      return body.recordings.find((each) => each.status === 'EGRESS_ACTIVE');
    });
    const bob = await stage.join('chromium', room, 'bob');
    assert.equal((await bob.ask('state')).recording, true, 'everybody sees it');
    await new Promise((done) => setTimeout(done, 5000));
    await stop(stage.server, room, id);

    // What is here is erased once all of it lies there.
    await eventually('the recording to be there alone', () => !existsSync(join(kept(stage.server, id), 'manifest.json')), 30_000);
    const [there, ...others] = lying(id);
    assert.ok(there && others.length === 0, `${there} ${others}`);
    const copy = join(root, 'copy', id);
    cpSync(there, copy, { recursive: true });
    const { to, files } = opener.openAt(copy);
    const [pictures, sound] = ['video', 'audio'].map((kind) => join(to, files.find((file) => streamOf(join(to, file)) === kind)));
    const looked = barsOf(pictures, SMALL);
    assertBars(looked, 'what lies in the storage');
    assert.ok(looked.count >= 20, `${looked.count} pictures`);
    const tone = pitchOf(sound);
    assert.ok(Math.abs(tone.hertz - HERTZ) < 15, `${tone.hertz} Hz`);

    const { body } = await ask(stage.server, 'POST', `/api/rooms/${room}/recordings/${id}/links`);
    const told = await recording(stage.server, room, id);
    assert.equal(body.links.length, told.files.length);
    for (const { name, url } of body.links) {
      const answer = await fetch(`${stage.server.url}${url}`, { redirect: 'manual' });
      assert.equal(answer.status, 302, name);
      const place = new URL(answer.headers.get('location'));
      assert.equal(place.host, `127.0.0.1:${port}`);
      const bytes = Buffer.from(await (await fetch(place)).arrayBuffer());
      assert.deepEqual(bytes, readFileSync(join(there, name)), name);
      place.searchParams.delete('X-Amz-Signature');
      assert.notEqual((await fetch(place)).status, 200, 'a link without its signature');
    }

    execFileSync(process.env.PARVIS_SERVER, ['recording', 'erase', '--config', join(stage.server.data, 'parvis.toml'), '--data', stage.server.data, id], { stdio: 'pipe' });
    assert.deepEqual(lying(id).flatMap((folder) => readdirSync(folder)), [], 'erased there, too');
  });
});

const streamOf = (file) => execFileSync('ffprobe', ['-v', 'error', '-show_entries', 'stream=codec_type', '-of', 'csv=p=0', file], { encoding: 'utf8' }).trim();
