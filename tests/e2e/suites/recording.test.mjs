// SPDX-License-Identifier: EUPL-1.2
// What is kept of a meeting: bars and a tone that real clients send, opened with the key that they were sealed for and looked at
// by ffmpeg; the mark that all see before; and a call that never notices what becomes of the worker.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { ageKeys } from '../support/age.mjs';
import { assertBars, eventually } from '../support/check.mjs';
import { HERTZ, SMALL, Stage } from '../support/call.mjs';
import { Opener, ask, barsOf, begin, configuration, egress, kept, keys, pitchOf, probe, recording, stop, until } from '../support/recordings.mjs';
import { Server } from '../support/server.mjs';

const EGRESS_KIND = 2;

let stage, opener;
before(async () => {
  stage = await Stage.over(await Server.configured(configuration()));
  opener = new Opener();
});
after(async () => {
  await stage?.close();
  opener?.close();
});
afterEach(() => stage.clear());

/** A meeting of Chromium and the Python SDK, both with bars, one with the tone. */
async function meeting(room) {
  const ada = await stage.join('chromium', room, 'ada');
  const bob = await stage.join('python', room, 'bob');
  await ada.ask('publishBars', SMALL);
  await bob.ask('publishBars', SMALL);
  await bob.ask('publishTone', { hertz: HERTZ });
  await ada.ask('seen', { identity: 'bob' });
  return { ada, bob };
}

describe('a meeting', () => {
  it('is kept as it was sent, for whom it is sealed and for nobody else, and everybody knew before', async () => {
    const room = stage.room();
    const { ada } = await meeting(room);
    const id = await begin(stage.server, room);
    await until(stage.server, room, id, 'EGRESS_ACTIVE');
    const late = await stage.join('chromium', room, 'late');
    const seen = await late.ask('state');
    assert.equal(seen.recording, true, 'who comes later knows at once');
    assert.equal(seen.participants.find((each) => each.identity === id).kind, EGRESS_KIND);
    await new Promise((done) => setTimeout(done, 6000));
    const ended = await stop(stage.server, room, id);
    await eventually('the mark to go', async () => !(await ada.ask('state')).recording);
    const marks = (await ada.ask('state')).marks;
    assert.deepEqual(marks.map((mark) => mark.recording), [true, false]);

    assert.ok(ended.files.every((file) => file.bytes > 0 && !file.name.includes('/')));
    const { to, manifest, files } = opener.open(stage.server, id);
    const first = Math.min(...manifest.runs.map((run) => run.from)) + manifest.started_at;
    assert.ok(marks[0].at <= first / 1000, `seen at ${marks[0].at}, kept from ${first / 1000}`);
    assert.deepEqual(manifest.recipients, [keys.recipient]);
    const streams = files.map((file) => ({ file, ...probe(join(to, file)) }));
    const video = streams.filter((each) => each.streams[0].codec_type === 'video');
    const audio = streams.filter((each) => each.streams[0].codec_type === 'audio');
    assert.equal(video.length, 2, 'both cameras');
    assert.equal(audio.length, 1);
    for (const each of video) {
      const [stream] = each.streams;
      assert.equal(stream.codec_name, 'vp8');
      assert.deepEqual([stream.width, stream.height], [SMALL.width, SMALL.height]);
      const looked = barsOf(join(to, each.file), SMALL);
      assert.ok(looked.count >= 20, `${looked.count} frames`);
      assertBars(looked, each.file);
      assert.ok(Number(each.format.duration) >= 4, `${each.format.duration} s`);
    }
    assert.equal(audio[0].streams[0].codec_name, 'opus');
    const tone = pitchOf(join(to, audio[0].file));
    assert.ok(Math.abs(tone.hertz - HERTZ) < 8 && tone.loudest > 1000, `${tone.hertz} Hz at ${tone.loudest}`);
    assert.ok(tone.seconds >= 4, `${tone.seconds} s`);

    // Sealed: another key opens nothing, and without one there is no picture.
    assert.throws(() => opener.open(stage.server, id, ageKeys().identity));
    const sealed = readdirSync(kept(stage.server, id)).filter((name) => name.endsWith('.age'));
    assert.ok(sealed.length >= 3, `${sealed}`);
  });

  it('is fetched in parts by a link, and only by it', async () => {
    const room = stage.room();
    await meeting(room);
    const id = await begin(stage.server, room);
    await until(stage.server, room, id, 'EGRESS_ACTIVE');
    await new Promise((done) => setTimeout(done, 2500));
    await stop(stage.server, room, id);
    const { status, body } = await ask(stage.server, 'POST', `/api/rooms/${room}/recordings/${id}/links`);
    assert.equal(status, 200);
    assert.ok(body.seconds <= 300);
    for (const { name, url, bytes } of body.links) {
      const whole = Buffer.from(await (await fetch(`${stage.server.url}${url}`)).arrayBuffer());
      assert.deepEqual([whole.length, whole.equals(readFileSync(join(kept(stage.server, id), name)))], [bytes, true], name);
      const part = await fetch(`${stage.server.url}${url}`, { headers: { range: 'bytes=10-19' } });
      assert.deepEqual([part.status, part.headers.get('content-range')], [206, `bytes 10-19/${bytes}`]);
      assert.ok(Buffer.from(await part.arrayBuffer()).equals(whole.subarray(10, 20)));
      assert.equal((await fetch(`${stage.server.url}${url}`, { headers: { range: `bytes=${bytes}-` } })).status, 416);
      assert.equal((await fetch(`${stage.server.url}${url.slice(0, -2)}AA`)).status, 404, 'a link that nobody gave');
    }
    // Row 51: a moderator of another room sees nothing of it.
    const elsewhere = stage.room();
    for (const what of ['links', 'stop']) {
      assert.equal((await ask(stage.server, 'POST', `/api/rooms/${elsewhere}/recordings/${id}/${what}`)).status, 404);
    }
    assert.deepEqual((await ask(stage.server, 'GET', `/api/rooms/${elsewhere}/recordings`)).body, { recordings: [] });
    assert.equal((await ask(stage.server, 'GET', `/api/rooms/${room}/recordings`, undefined, { room: elsewhere })).status, 403);
    assert.equal((await fetch(`${stage.server.url}/api/recordings/..%2F..%2Fparvis.toml`)).status, 404);
  });

  it('goes on when its worker is killed, again and again, and the recording says why it ended', async () => {
    const server = await Server.configured(configuration('max_restarts = 1'));
    const own = await Stage.over(server);
    try {
      const room = own.room();
      const ada = await own.join('chromium', room, 'ada');
      const bob = await own.join('python', room, 'bob');
      await bob.ask('publishBars', SMALL);
      await ada.ask('seen', { identity: 'bob' });
      const id = await begin(server, room);
      await until(server, room, id, 'EGRESS_ACTIVE');
      await new Promise((done) => setTimeout(done, 2500));
      const workers = () => execFileSync('pgrep', ['-P', String(server.process.pid), 'parvis-media']).toString().trim().split('\n');
      const [first] = workers();
      process.kill(Number(first), 'SIGKILL');
      const second = await eventually('another worker', () => {
        try { return workers().find((pid) => pid !== first); } catch { return false; }
      });
      assertBars(await ada.ask('seen', { identity: 'bob' }), 'ada, while there is no worker');
      assert.equal((await recording(server, room, id)).status, 'EGRESS_ACTIVE', 'it was taken up again');
      await new Promise((done) => setTimeout(done, 3000));
      process.kill(Number(second), 'SIGKILL');
      const failed = await until(server, room, id, 'EGRESS_FAILED');
      assert.match(failed.error, /the media worker died: .*signal: 9/);
      assertBars(await ada.ask('seen', { identity: 'bob' }), 'ada, after the last one');
      await eventually('the mark to go', async () => !(await ada.ask('state')).recording);
      const { files, to } = opener.open(server, id);
      assert.ok(files.length >= 2, `a file of each worker: ${files}`);
      for (const file of files) assertBars(barsOf(join(to, file), SMALL), file);
      assert.equal(await server.figure('parvis_recording_workers_died_total'), 2);
      assert.equal(await server.figure('parvis_recordings_ended_total', { status: 'failed' }), 1);
    } finally {
      await own.close();
    }
  });

  it('is kept until the quota is reached, and all see that it ends', async () => {
    const server = await Server.configured(configuration('max_bytes = 60000\nmax_jobs = 1'));
    const own = await Stage.over(server);
    try {
      const room = own.room();
      const ada = await own.join('chromium', room, 'ada');
      await ada.ask('publishBars', { width: 640, height: 360, fps: 20 });
      const id = await begin(server, room);
      const another = await ask(server, 'POST', `/api/rooms/${room}/recordings`, {});
      assert.deepEqual([another.status, another.body.code], [429, 'too_many']);
      const reached = await until(server, room, id, 'EGRESS_LIMIT_REACHED', 60000);
      assert.match(reached.error, /recording.max_bytes/);
      await eventually('the mark to go', async () => !(await ada.ask('state')).recording);
      const { files, to } = opener.open(server, id);
      assertBars(barsOf(join(to, files[0]), { width: 640, height: 360 }), 'what was written until then');
    } finally {
      await own.close();
    }
  });

  it('is kept until the disk is nearly full, and all see that it ends', async () => {
    const disk = mkdtempSync(join(tmpdir(), 'parvis-disk-'));
    const filler = join(disk, 'filler');
    const free = () => { const { bavail, bsize } = statfsSync(disk); return bavail * bsize; };
    const GIB = 2 ** 30;
    // Others write to this disk, too: so much that they don't reach the bound, nor miss it afterwards.
    const stays = free() - 3 * GIB;
    assert.ok(stays > 5 * GIB, 'this test takes a disk with 8 GiB');
    const server = await Server.configured(configuration(`directory = "${disk}"\n`).replace('min_free_bytes = 0', `min_free_bytes = ${stays}`));
    const own = await Stage.over(server);
    try {
      const room = own.room();
      const ada = await own.join('chromium', room, 'ada');
      const bob = await own.join('python', room, 'bob');
      await bob.ask('publishBars', SMALL);
      await ada.ask('seen', { identity: 'bob' });
      const id = await begin(server, room);
      await until(server, room, id, 'EGRESS_ACTIVE');
      await eventually('the mark', async () => (await ada.ask('state')).recording);
      await new Promise((done) => setTimeout(done, 3000));
      execFileSync('fallocate', ['-l', String(6 * GIB), filler]);
      const ended = await until(server, room, id, 'EGRESS_LIMIT_REACHED');
      assert.match(ended.error, /recording\.min_free_bytes/);
      await eventually('the mark to go', async () => !(await ada.ask('state')).recording);
      assert.equal((await ada.ask('state')).connected, true);
      const refused = await ask(server, 'POST', `/api/rooms/${room}/recordings`, {});
      assert.ok(refused.status >= 400 && /recording\.min_free_bytes/.test(JSON.stringify(refused.body)), JSON.stringify(refused.body));
      assert.equal(await server.figure('parvis_recordings_refused_total', { limit: 'min_free_bytes' }), 1);
      rmSync(filler);
      const folder = join(disk, 'default', id);
      const verified = execFileSync(process.env.PARVIS_MEDIA, ['verify', folder], { encoding: 'utf8' });
      assert.ok(!verified.includes('damaged'), verified);
      const { to, files, manifest } = opener.openAt(folder);
      assert.equal(manifest.reason, 'disk_full');
      const looked = barsOf(join(to, files[0]), SMALL);
      assertBars(looked, 'what was written');
      assert.ok(looked.count >= 10, `${looked.count} pictures`);
      await begin(server, room);
    } finally {
      await own.close();
      rmSync(disk, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    }
  });

  it('is kept with as many tracks as may be, and goes on without the others', async () => {
    const server = await Server.configured(configuration('max_tracks = 1'));
    const own = await Stage.over(server);
    try {
      const room = own.room();
      const ada = await own.join('python', room, 'ada');
      await ada.ask('publishBars', SMALL);
      const id = await begin(server, room);
      await until(server, room, id, 'EGRESS_ACTIVE');
      const bob = await own.join('python', room, 'bob');
      await bob.ask('publishTone', { hertz: HERTZ });
      await eventually('a track to be refused', async () => await server.figure('parvis_recording_sources_refused_total') > 0);
      await bob.ask('seen', { identity: 'ada' });
      await new Promise((done) => setTimeout(done, 3000));
      await stop(server, room, id);
      const { to, files } = opener.open(server, id);
      assert.equal(files.length, 1);
      const looked = barsOf(join(to, files[0]), SMALL);
      assertBars(looked, 'the one that was there first');
      assert.ok(looked.count >= 20, `${looked.count} pictures`);
      assert.match(server.log.join('\n'), /a track is not recorded/);
    } finally {
      await own.close();
    }
  });
});

describe('by LiveKit’s egress service', () => {
  it('a participant and a track are kept, listed and ended; what can not be done says what can', async () => {
    const room = stage.room();
    await meeting(room);
    const mosaic = await egress(stage.server, 'StartRoomCompositeEgress', { roomName: room, layout: 'mosaic', fileOutputs: [{}] });
    assert.equal(mosaic.status, 501);
    assert.match(mosaic.body.msg, /ask for "grid", .*or for "capture"/);
    const nobody = await egress(stage.server, 'StartParticipantEgress', { roomName: room, identity: 'nobody', fileOutputs: [{}] });
    assert.equal(nobody.status, 404);
    const { body: { egressId } } = await egress(stage.server, 'StartParticipantEgress', { roomName: room, identity: 'bob', fileOutputs: [{}] });
    await until(stage.server, room, egressId, 'EGRESS_ACTIVE');
    await new Promise((done) => setTimeout(done, 3000));
    const active = await egress(stage.server, 'ListEgress', { roomName: room, active: true });
    assert.deepEqual(active.body.items.map((item) => item.egressId), [egressId]);
    assert.equal((await egress(stage.server, 'StopEgress', { egressId })).body.status, 'EGRESS_ENDING');
    await until(stage.server, room, egressId, 'EGRESS_COMPLETE');
    const { manifest } = opener.open(stage.server, egressId);
    assert.deepEqual(manifest.tracks.map((track) => track.kind).sort(), ['audio', 'video'], 'bob’s, and not ada’s');
    assert.equal((await egress(stage.server, 'StopEgress', { egressId })).status, 412);
  });
});
