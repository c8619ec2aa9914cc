// SPDX-License-Identifier: EUPL-1.2
// A room that is recorded by itself, into a storage that speaks S3 (Versity's gateway, which keeps objects as files): all that was
// kept lies there, opens with the key, is fetched by a link, and goes when it is erased. And segments and images of a stream, which
// come there while it goes on, whatever becomes of the storage meanwhile.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { EgressClient, EncodedFileOutput, S3Upload } from 'livekit-server-sdk';
import { SMALL, HERTZ, Stage } from '../support/call.mjs';
import { BARS, assertBars, eventually } from '../support/check.mjs';
import { Opener, ask, barsOf, configuration, egress, kept, pitchOf, probe, recording, stop } from '../support/recordings.mjs';
import { Server } from '../support/server.mjs';
import { freePort, lastPicture } from '../support/targets.mjs';

const BUCKET = 'protocols';
/** One that an application names in its request. */
const THEIRS = 'theirs';
const root = mkdtempSync(join(tmpdir(), 'parvis-storage-'));
let gateway, port, stage, opener;

before(async () => {
  port = await freePort();
  mkdirSync(join(root, BUCKET));
  mkdirSync(join(root, THEIRS));
  await rise();
  const toml = configuration(`
[recording.storage]
endpoint = "http://127.0.0.1:${port}"
bucket = "${BUCKET}"
prefix = "parvis"
credentials_file = "storage.key"
keep_local = false
requested = ["http://127.0.0.1:${port}/${THEIRS}"]
[rooms]
record = "capture"
[streaming]
enabled = true
keep = true
max_jobs = 2
ladder = [360]
`);
  stage = await Stage.over(await Server.configured(toml, undefined, { 'storage.key': 'AKIA\nhush\n' }));
  opener = new Opener();
});
after(async () => {
  await stage?.close();
  opener?.close();
  await fall();
  rmSync(root, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});
afterEach(() => stage.clear());

async function rise() {
  gateway = spawn(process.env.PARVIS_STORAGE, ['--port', `127.0.0.1:${port}`, '--access', 'AKIA', '--secret', 'hush', '--quiet', 'posix', root], { stdio: 'ignore' });
  await eventually('the storage', () => fetch(`http://127.0.0.1:${port}/`).then(() => true, () => false));
}

async function fall() {
  if (!gateway || gateway.exitCode !== null || gateway.signalCode !== null) return;
  gateway.kill();
  await new Promise((done) => gateway.once('exit', done));
}

const erase = (id) => execFileSync(process.env.PARVIS_SERVER, ['recording', 'erase', '--config', join(stage.server.data, 'parvis.toml'), '--data', stage.server.data, id], { stdio: 'pipe' });

/** The folders in the bucket that are called like this. */
const lying = (name) => readdirSync(join(root, BUCKET), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name === name)
  .map((entry) => join(entry.parentPath ?? entry.path, entry.name));

const streamOf = (file) => execFileSync('ffprobe', ['-v', 'error', '-show_entries', 'stream=codec_type', '-of', 'csv=p=0', file], { encoding: 'utf8' }).trim();

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

    erase(id);
    assert.deepEqual(lying(id).flatMap((folder) => readdirSync(folder)), [], 'erased there, too');
  });
});

describe('a storage that a request names', () => {
  const client = () => new EgressClient(stage.server.url, stage.server.key.name, stage.server.key.secret);
  const output = (wish) => new EncodedFileOutput({
    output: { case: 's3', value: new S3Upload({ endpoint: `http://127.0.0.1:${port}`, bucket: THEIRS, accessKey: 'AKIA', secret: 'hush', forcePathStyle: true, ...wish }) },
  });

  it('gets the files, whole, where the operator allowed it, and nobody sees its key', { timeout: 120_000 }, async () => {
    const room = stage.room();
    const ada = await stage.join('python', room, 'ada');
    await ada.ask('publishBars', SMALL);
    const begun = await client().startParticipantEgress(room, 'ada', { file: output() });
    const id = begun.egressId;
    await eventually('the recording to go on', async () => (await egress(stage.server, 'ListEgress', { egressId: id })).body.items[0].status === 'EGRESS_ACTIVE', 30_000);
    await new Promise((done) => setTimeout(done, 3000));
    await client().stopEgress(id);
    const manifest = join(root, THEIRS, 'default', id, 'manifest.json');
    await eventually('the files in the other bucket', () => existsSync(manifest) && !existsSync(join(kept(stage.server, id), 'manifest.json')), 60_000);
    const { whole, said } = await eventually('the record to say where', async () => {
      const said = (await egress(stage.server, 'ListEgress', { egressId: id })).body.items[0];
      return said.fileResults.every((file) => file.location.startsWith(`http://127.0.0.1:${port}/${THEIRS}/`)) && { whole: said.fileResults, said };
    });
    const hashes = new Map(Object.entries(JSON.parse(readFileSync(join(kept(stage.server, id), '.storage.json'))).files));
    assert.ok(whole.length >= 1 && hashes.size >= 2, JSON.stringify(said));
    for (const { filename, location } of whole) {
      const bytes = readFileSync(join(root, new URL(location).pathname));
      assert.equal(createHash('sha256').update(bytes).digest('hex'), hashes.get(filename).sha256, filename);
    }
    const { files } = opener.openAt(join(root, THEIRS, 'default', id));
    assert.ok(files.length >= 1, 'it opens with the key');
    assert.deepEqual(lying(id), [], 'nothing of it is in the operator\'s bucket');
    for (const text of [begun.toJsonString(), JSON.stringify(said)]) assert.ok(!text.includes('hush') && !text.includes('AKIA'), text);
  });

  it('is refused where the operator did not allow it, with what to do', { timeout: 60_000 }, async () => {
    const room = stage.room();
    await stage.join('python', room, 'ada');
    for (const wish of [{ bucket: BUCKET }, { endpoint: `http://localhost:${port}` }, { endpoint: 'http://169.254.169.254' }]) {
      await assert.rejects(client().startParticipantEgress(room, 'ada', { file: output(wish) }), /recording\.storage\.requested/, JSON.stringify(wish));
    }
  });
});

describe('a stream that is kept', () => {
  /** What composing takes on a machine that is busy. */
  const PATIENCE = 90_000;
  const SIZE = { width: 640, height: 360 };
  const ENCODING = { ...SIZE, framerate: 15, videoBitrate: 800 };
  const SEGMENTS = { filenamePrefix: 'part', playlistName: 'monday', livePlaylistName: 'now', segmentDuration: 2 };

  const begin = async (method, wish) => {
    const begun = await egress(stage.server, method, { advanced: ENCODING, ...wish });
    assert.equal(begun.status, 200, JSON.stringify(begun.body));
    return begun.body.egressId;
  };
  const told = async (egressId) => (await egress(stage.server, 'ListEgress', { egressId })).body.items[0];
  const ended = (id) => eventually(`${id} to end`, async () => {
    const now = await told(id);
    return now.status === 'EGRESS_COMPLETE' && now;
  }, PATIENCE);
  const stopped = async (egressId) => {
    assert.equal((await egress(stage.server, 'StopEgress', { egressId })).status, 200);
    return ended(egressId);
  };
  const ada = async () => {
    const room = stage.room();
    const caller = await stage.join('python', room, 'ada');
    const track = await caller.ask('publishBars', SMALL);
    await caller.ask('publishTone', { hertz: HERTZ });
    return { room, track };
  };
  const segmentsOf = (playlist) => existsSync(playlist) ? readFileSync(playlist, 'utf8').split('\n').filter((line) => line.endsWith('.m4s')) : [];
  const assertAda = (path, what) => {
    const look = lastPicture(path, SIZE);
    assertBars({ bars: BARS.map((_, bar) => look(Math.floor((bar + 0.5) * SIZE.width / BARS.length), SIZE.height / 2)) }, what);
  };

  /** Without its last second: the microphone may have been gone before the stream ended. */
  const soundOf = (playlist) => {
    const wav = join(root, 'sound.wav');
    execFileSync('ffmpeg', ['-v', 'fatal', '-y', '-i', playlist, '-vn', '-af', 'areverse,atrim=start=1,areverse', wav]);
    return pitchOf(wav);
  };

  it('comes to the storage as it goes on and after the storage was down, and is erased with its recording', { timeout: 300_000 }, async () => {
    const { room } = await ada();
    const image = { captureInterval: 2, filenamePrefix: 'shot', ...SIZE };
    const id = await begin('StartRoomCompositeEgress', { roomName: room, layout: 'single', segmentOutputs: [SEGMENTS], imageOutputs: [image] });
    const { segmentResults: [begun] } = await eventually('the playlist to be told', async () => {
      const now = await told(id);
      return now.segmentResults?.[0]?.playlistLocation && now;
    }, PATIENCE);
    assert.equal(begun.playlistLocation, `http://127.0.0.1:${port}/${BUCKET}/parvis/default/${id}/monday.m3u8`);
    assert.equal(begun.livePlaylistLocation, `http://127.0.0.1:${port}/${BUCKET}/parvis/default/${id}/now.m3u8`);
    const there = join(root, BUCKET, 'parvis', 'default', id);
    const growing = join(there, 'monday-360.m3u8');
    // Whenever a playlist is looked at, all that it names is there.
    const whole = (least) => eventually(`${least} segments`, () => {
      const names = segmentsOf(growing);
      for (const name of names) assert.ok(statSync(join(there, name)).size > 1000, name);
      return names.length >= least && names.length;
    }, PATIENCE);
    await whole(3);
    await eventually('the playlist of all', () => existsSync(join(there, 'monday.m3u8')) && existsSync(join(there, 'now.m3u8')));

    await fall();
    await eventually('segments to wait', async () => await stage.server.figure('parvis_live_files_to_upload') >= 4, PATIENCE);
    assert.ok(await stage.server.figure('parvis_live_uploads_failed_total') > 0);
    const before = segmentsOf(growing).length;
    await rise();
    await whole(before + 3);
    assert.ok(segmentsOf(join(there, 'now-360.m3u8')).length <= 6, 'the newest');
    assert.ok(!readFileSync(growing, 'utf8').includes('ENDLIST'));

    assert.ok(await stage.server.figure('parvis_media_encoder_chosen_total', { family: 'software' }) >= 1, 'who encodes is counted');

    const { segmentResults: [segments], imageResults: [images], fileResults } = await stopped(id);
    await eventually('the end to be told there', () => readFileSync(growing, 'utf8').endsWith('#EXT-X-ENDLIST\n'), 40_000);
    const names = segmentsOf(growing);
    const sound = segmentsOf(join(there, 'monday-audio.m3u8'));
    assert.equal(Number(segments.segmentCount), names.length + sound.length);
    assert.ok(Math.abs(Number(segments.duration) / 1e9 - names.length * 2) < 3, `${segments.duration} ns of ${names.length}`);
    assert.ok(!fileResults?.length, 'segments are no files of a recording');
    const playlist = join(there, 'monday.m3u8');
    assertAda(playlist, 'all segments');
    const { streams, format } = probe(playlist);
    assert.deepEqual(streams.map((each) => each.codec_name).sort(), ['aac', 'h264']);
    assert.ok(Math.abs(Number(format.duration) - Number(segments.duration) / 1e9) < 1, `${format.duration} s`);
    const tone = soundOf(playlist);
    assert.ok(Math.abs(tone.hertz - HERTZ) < 12 && tone.loudest > 1000, `${tone.hertz} Hz at ${tone.loudest}`);
    const shots = readdirSync(there).filter((name) => /^shot_\d{5}\.jpeg$/.test(name));
    assert.ok(shots.length >= 5 && shots.length === Number(images.imageCount), `${shots} of ${images.imageCount}`);
    assertAda(join(there, shots.at(-1)), 'an image');
    await eventually('nothing to be left here', () => !readdirSync(kept(stage.server, id)).some((name) => name.endsWith('.m4s')), 40_000);

    erase(id);
    assert.ok(!existsSync(there) || readdirSync(there).length === 0, 'erased there, too');
  });

  it('is of one participant or one track where that is asked for', { timeout: 300_000 }, async () => {
    const { room, track: videoTrackId } = await ada();
    // Louder than she is, he would be seen where nobody was asked for.
    const bo = await stage.join('python', room, 'bo');
    await bo.ask('publishTone', { hertz: 2 * HERTZ });
    const whose = await begin('StartParticipantEgress', { roomName: room, identity: 'ada', segmentOutputs: [{ playlistName: 'ada' }] });
    const track = await begin('StartTrackCompositeEgress', { roomName: room, videoTrackId, segmentOutputs: [{ playlistName: 'track' }] });
    for (const [id, name] of [[whose, 'ada'], [track, 'track']]) {
      const there = join(root, BUCKET, 'parvis', 'default', id);
      await eventually(`segments of ${name}`, () => segmentsOf(join(there, `${name}-360.m3u8`)).length >= 2, PATIENCE);
      await stopped(id);
      const playlist = join(there, `${name}.m3u8`);
      assertAda(playlist, name);
      const tone = soundOf(playlist);
      // Of her track alone there is no sound.
      if (id === whose) assert.ok(Math.abs(tone.hertz - HERTZ) < 12 && tone.loudest > 1000, `${tone.hertz} Hz at ${tone.loudest}`);
      else assert.ok(tone.loudest < 50, `${tone.hertz} Hz at ${tone.loudest}`);
      erase(id);
    }
    const refused = await egress(stage.server, 'StartRoomCompositeEgress', { roomName: room, segmentOutputs: [{ playlistName: '../up' }] });
    assert.ok(refused.status >= 400, JSON.stringify(refused.body));
  });
});
