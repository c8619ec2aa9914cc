// SPDX-License-Identifier: EUPL-1.2
// Films, from the call of an application to a file that plays: captured and sealed meanwhile, composed afterwards by a process of its
// own, and opened with the key of those whom they are for.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { BARS, assertBars, eventually } from '../support/check.mjs';
import { HERTZ, Stage, seenAndHeard } from '../support/call.mjs';
import { Receiver } from '../support/receiver.mjs';
import { ask, begin, configuration, egress, kept, keys, manifestOf, pitchOf, probe, recording, until } from '../support/recordings.mjs';
import { Server } from '../support/server.mjs';

const MEDIA = process.env.PARVIS_MEDIA;
/** What a film of a few seconds takes on a machine that is busy. */
const PATIENCE = 180_000;

let stage, receiver, folder;
before(async () => {
  receiver = await Receiver.open();
  folder = mkdtempSync(join(tmpdir(), 'parvis-films-'));
  writeFileSync(join(folder, 'identity'), keys.identity, { mode: 0o600 });
  const films = `film_segment = "5s"\nfilm_parallel = 2\nidentity = "${join(folder, 'identity')}"`;
  const configured = configuration(films).replace(/\[webhooks\]\nurls = \[\]\n/, receiver.configuration());
  stage = await Stage.over(await Server.configured(configured));
});
after(async () => {
  await stage?.close();
  await receiver?.close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});
afterEach(() => stage.clear());

/** Every file below a folder. */
const below = (path) => existsSync(path) ? readdirSync(path, { recursive: true, withFileTypes: true }).filter((each) => each.isFile()).map((each) => each.name) : [];
const films = (server) => join(server.data, 'recordings', '.films');

/** A picture of a film in RGB, at a second. */
function picture(path, second, { width, height }) {
  const bytes = execFileSync('ffmpeg', ['-v', 'error', '-ss', String(second), '-i', path, '-frames:v', '1', '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-'], { maxBuffer: 1 << 28 });
  assert.equal(bytes.length, width * height * 3);
  return (x, y) => [...bytes.subarray((y * width + x) * 3).subarray(0, 3)];
}

/** The tone of a film, without its last second: the microphone may have been gone before the recording ended, and noise has no pitch. */
function toneOf(path) {
  const sound = `${path}.wav`;
  execFileSync('ffmpeg', ['-v', 'error', '-i', path, '-t', String(Number(probe(path).format.duration) - 1), '-vn', sound]);
  return pitchOf(sound);
}

/** Fetches a recording's film by a link, and opens it with the key that recordings are sealed for. Gives its path. */
async function fetched(room, id) {
  const { body } = await ask(stage.server, 'POST', `/api/rooms/${room}/recordings/${id}/links`);
  const [film, manifest] = [body.links[0], body.links.find(({ name }) => name === 'manifest.json')];
  const own = join(folder, id);
  mkdirSync(own);
  for (const { name, url } of [film, manifest]) {
    writeFileSync(join(own, name), Buffer.from(await (await fetch(`${stage.server.url}${url}`)).arrayBuffer()));
  }
  assert.equal(readFileSync(join(own, film.name)).subarray(0, 21).toString(), 'age-encryption.org/v1', 'it is sealed');
  // What was captured is left out: nothing but the film is opened here.
  const alone = { ...JSON.parse(readFileSync(join(own, 'manifest.json'))), timelines: [], tracks: [] };
  writeFileSync(join(own, 'manifest.json'), JSON.stringify(alone));
  execFileSync(MEDIA, ['decrypt', own, '--identity', join(folder, 'identity'), '--to', join(own, 'opened')], { stdio: 'pipe' });
  return join(own, 'opened', film.name.replace(/\.age$/, ''));
}

describe('a film of a meeting', () => {
  it('is made after it, shows and sounds what was sent, and is sealed for nobody but whom it is for', async () => {
    const room = stage.room();
    await seenAndHeard(stage, room);
    const advanced = { width: 640, height: 360, framerate: 20, videoBitrate: 800 };
    const begun = await egress(stage.server, 'StartRoomCompositeEgress', { roomName: room, layout: 'grid', fileOutputs: [{ fileType: 'MP4', filepath: 'monday.mp4' }], advanced });
    assert.equal(begun.status, 200, JSON.stringify(begun.body));
    const { egressId } = begun.body;
    await until(stage.server, room, egressId, 'EGRESS_ACTIVE');
    const { recipients } = await eventually('the manifest', () => existsSync(join(kept(stage.server, egressId), 'manifest.json')) && manifestOf(stage.server, egressId));
    assert.equal(recipients.length, 2, 'the organisation, and the film’s own key');
    assert.ok(recipients.includes(keys.recipient));
    assert.deepEqual(recipients, [...recipients].sort(), 'their order tells nothing');
    assert.deepEqual(below(films(stage.server)), ['identity']);
    await new Promise((done) => setTimeout(done, 7000));
    assert.equal((await egress(stage.server, 'StopEgress', { egressId })).body.status, 'EGRESS_ENDING');
    const pid = await eventually('a composer', () => {
      try { return execFileSync('pgrep', ['-f', `parvis-media compose .*${egressId}`]).toString().trim().split('\n')[0]; } catch { return undefined; }
    });
    const priority = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')[16];
    assert.equal(priority, '19', 'it lets everybody else go first');
    assert.ok(!readFileSync(`/proc/${pid}/environ`, 'utf8').includes('RUST_LOG'), 'it is told nothing of the server’s surroundings');

    const ended = await until(stage.server, room, egressId, 'EGRESS_COMPLETE', PATIENCE);
    assert.equal(ended.files[0].name, 'monday.mp4.age');
    assert.deepEqual(below(films(stage.server)), [], 'its key is gone');
    const { body: { items: [item] } } = await egress(stage.server, 'ListEgress', { egressId });
    assert.equal(item.fileResults[0].filename, 'monday.mp4.age');
    assert.equal(item.fileResults[0].location, `${egressId}/monday.mp4.age`);

    const film = await fetched(room, egressId);
    const { streams, format } = probe(film);
    const [video, audio] = ['video', 'audio'].map((kind) => streams.find((each) => each.codec_type === kind));
    assert.deepEqual([video.codec_name, video.width, video.height, video.avg_frame_rate, audio.codec_name], ['h264', 640, 360, '20/1', 'aac']);
    const seconds = Number(format.duration);
    assert.ok(seconds > 5 && seconds < 30, `${seconds} s`);
    assert.ok(Math.abs(Number(item.fileResults[0].duration) / 1e9 - seconds) < 5, `${item.fileResults[0].duration} ns`);
    // Two tiles beside each other: Ada's bars, and a plain one for Bob. The order follows who came first.
    const look = picture(film, seconds - 2, advanced);
    const tiles = [0, 320].map((left) => ({ bars: BARS.map((_, bar) => look(left + Math.floor((bar + 0.5) * 320 / BARS.length), 170)) }));
    const seen = tiles.filter((tile) => { try { assertBars(tile, 'a tile'); return true; } catch { return false; } });
    assert.equal(seen.length, 1, JSON.stringify(tiles));
    const tone = toneOf(film);
    assert.ok(Math.abs(tone.hertz - HERTZ) < 8 && tone.loudest > 1000, `${tone.hertz} Hz at ${tone.loudest}`);

    const told = () => receiver.taken.map(({ event }) => event).filter(({ egressInfo }) => egressInfo?.egressId === egressId);
    await eventually('the webhook of the end', () => told().some(({ event }) => event === 'egress_ended'));
    const story = told().map(({ event, egressInfo }) => [event, egressInfo.status, egressInfo.details ?? '']);
    assert.equal(story[0][0], 'egress_started');
    assert.deepEqual(story.at(-1).slice(0, 2), ['egress_ended', 'EGRESS_COMPLETE']);
    const steps = story.filter(([event, status]) => event === 'egress_updated' && status === 'EGRESS_ENDING').map(([, , details]) => details);
    assert.deepEqual(steps.slice(-2), ['its film waits to be made', 'its film is being made']);
    assert.equal(story.filter(([event]) => event === 'egress_ended').length, 1, 'once, and when the film is there');
    assert.equal(await stage.server.figure('parvis_recording_films_made_total'), 1);
  });

  it('is asked for by a moderator, changes its layout, and outlives its server', async () => {
    const room = stage.room();
    await seenAndHeard(stage, room);
    const refused = await ask(stage.server, 'POST', `/api/rooms/${room}/recordings`, { film: { layout: 'mosaic' } });
    assert.deepEqual([refused.status, refused.body.code], [501, 'unable']);
    const both = await ask(stage.server, 'POST', `/api/rooms/${room}/recordings`, { film: {}, participant: 'ada' });
    assert.equal(both.status, 400);
    const id = await begin(stage.server, room, { film: { layout: 'grid' } });
    await until(stage.server, room, id, 'EGRESS_ACTIVE');
    const changed = await egress(stage.server, 'UpdateLayout', { egressId: id, layout: 'audio' });
    assert.equal(changed.body.roomComposite.layout, 'audio', JSON.stringify(changed.body));
    assert.equal((await egress(stage.server, 'UpdateLayout', { egressId: id, layout: 'capture' })).status, 501);
    await new Promise((done) => setTimeout(done, 4000));
    // Killed while it records: nobody ends anything in order, and the film is made of what there is.
    stage.server.process.kill('SIGKILL');
    await stage.server.exited;
    await stage.clear();
    await stage.server.runAt('127.0.0.1:0', '--config', join(stage.server.data, 'parvis.toml'), '--metrics', '127.0.0.1:0');
    const ended = await until(stage.server, room, id, 'EGRESS_FAILED', PATIENCE);
    assert.equal(ended.error, 'the server ended while it went on');
    assert.equal((await recording(stage.server, room, id)).files[0].name, 'film.mp4.age');
    const film = await fetched(room, id);
    const { streams } = probe(film);
    assert.deepEqual(streams.map((each) => each.codec_name), ['aac'], 'the layout that was named last: sound alone');
    const tone = toneOf(film);
    assert.ok(Math.abs(tone.hertz - HERTZ) < 8 && tone.loudest > 1000, `${tone.hertz} Hz at ${tone.loudest}`);
    assert.deepEqual(below(films(stage.server)), []);
  });

  it('goes on from its finished parts when its server is killed', async () => {
    const room = stage.room();
    await seenAndHeard(stage, room);
    const id = await begin(stage.server, room, { film: { layout: 'grid' } });
    await until(stage.server, room, id, 'EGRESS_ACTIVE');
    await new Promise((done) => setTimeout(done, 32_000));
    assert.equal((await egress(stage.server, 'StopEgress', { egressId: id })).body.status, 'EGRESS_ENDING');
    /** The parts that are whole, by what the ledger says of each. */
    const ledger = () => {
      const path = join(films(stage.server), 'default', id, 'work', 'film.mp4.parts', 'ledger.jsonl');
      const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(1, -1) : [];
      return new Map(lines.map((line) => [JSON.parse(line).file, line]));
    };
    const before = await eventually('two parts', () => {
      const parts = ledger();
      return parts.size >= 2 && parts;
    }, PATIENCE);
    stage.server.process.kill('SIGKILL');
    await stage.server.exited;
    assert.ok(before.size < 7, `${before.size} parts`);
    await stage.clear();
    await stage.server.runAt('127.0.0.1:0', '--config', join(stage.server.data, 'parvis.toml'), '--metrics', '127.0.0.1:0');
    // What was whole stands there as it stood, until the film does.
    const later = await eventually('another part', () => {
      const parts = ledger();
      return parts.size > before.size && parts;
    }, PATIENCE);
    for (const [file, line] of before) assert.equal(later.get(file), line, `${file} was made again`);
    await until(stage.server, room, id, 'EGRESS_COMPLETE', PATIENCE);
    const film = await fetched(room, id);
    const { streams, format } = probe(film);
    assert.deepEqual(streams.map((each) => each.codec_name), ['h264', 'aac']);
    const seconds = Number(format.duration);
    assert.ok(seconds > 30 && seconds < 90, `${seconds} s`);
    const pictures = streams[0];
    assert.ok(Math.abs(Number(pictures.nb_frames) - seconds * 30) < 5, `${pictures.nb_frames} pictures in ${seconds} s`);
    // Where segments meet, and elsewhere.
    for (const second of [3, 4.97, 5.03, 15, 24.97, 25.03]) {
      const look = picture(film, second, pictures);
      const tiles = [0, 640].map((left) => ({ bars: BARS.map((_, bar) => look(left + Math.floor((bar + 0.5) * 640 / BARS.length), 340)) }));
      const seen = tiles.filter((tile) => { try { assertBars(tile, 'a tile'); return true; } catch { return false; } });
      assert.equal(seen.length, 1, `${second} s: ${JSON.stringify(tiles)}`);
    }
    const tone = toneOf(film);
    assert.ok(Math.abs(tone.hertz - HERTZ) < 8 && tone.loudest > 1000, `${tone.hertz} Hz at ${tone.loudest}`);
    assert.deepEqual(below(films(stage.server)), []);
  });

  it('is made of a recording that ended without one, where the server was given a key', async () => {
    const room = stage.room();
    await seenAndHeard(stage, room);
    const id = await begin(stage.server, room);
    await until(stage.server, room, id, 'EGRESS_ACTIVE');
    const path = `/api/rooms/${room}/recordings/${id}/film`;
    const early = await ask(stage.server, 'POST', path, { layout: 'grid' });
    assert.deepEqual([early.status, early.body.code], [409, 'not_now']);
    await new Promise((done) => setTimeout(done, 5000));
    await egress(stage.server, 'StopEgress', { egressId: id });
    const ended = await until(stage.server, room, id, 'EGRESS_COMPLETE');
    assert.ok(ended.files.every(({ name }) => !name.startsWith('film')), JSON.stringify(ended.files));
    assert.deepEqual((await ask(stage.server, 'GET', path)).body, { state: 'none' });
    const stranger = await ask(stage.server, 'POST', path, {}, { roomAdmin: false });
    assert.equal(stranger.status, 403);
    const mosaic = await ask(stage.server, 'POST', path, { layout: 'mosaic' });
    assert.deepEqual([mosaic.status, mosaic.body.code], [501, 'unable']);
    assert.deepEqual(await ask(stage.server, 'POST', path, { layout: 'grid' }), { status: 202, body: { state: 'being_made' } });
    await eventually('the film', async () => (await ask(stage.server, 'GET', path)).body.state === 'made', PATIENCE);
    const { files, status } = await recording(stage.server, room, id);
    assert.deepEqual([files[0].name, status], ['film.mp4.age', 'EGRESS_COMPLETE']);
    const tone = toneOf(await fetched(room, id));
    assert.ok(Math.abs(tone.hertz - HERTZ) < 8 && tone.loudest > 1000, `${tone.hertz} Hz at ${tone.loudest}`);
    assert.deepEqual(below(films(stage.server)), [], 'the server’s own key is nowhere but where it was');
  });
});
