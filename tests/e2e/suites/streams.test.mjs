// SPDX-License-Identifier: EUPL-1.2
// Live streams: pushed to several real targets at once, of which some fail, and watched in Chromium.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { BARS, assertBars, eventually } from '../support/check.mjs';
import { HERTZ, Stage, seenAndHeard } from '../support/call.mjs';
import { ask, configuration, egress, kept, pitchOf, probe, recording, until } from '../support/recordings.mjs';
import { Server } from '../support/server.mjs';
import { Rtmp, Srt, freePort, lastPicture } from '../support/targets.mjs';
import { Visitors, button } from '../support/visitors.mjs';

/** What composing takes on a machine that is busy. */
const PATIENCE = 60_000;
const SIZE = { width: 640, height: 360 };
const ENCODING = { ...SIZE, framerate: 15, videoBitrate: 800 };
const KEY = 'a-very-secret-stream-key';

let stage, folder, rtmp, srt, dead, visitors;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'parvis-streams-'));
  // nginx' files are its workers', which may run as somebody else.
  rtmp = await new Rtmp(folder, await freePort()).start();
  srt = await new Srt(folder, await freePort()).start();
  dead = await freePort();
  const streaming = `
[streaming]
enabled = true
max_jobs = 4
allow_internal = ["127.0.0.1:${rtmp.port}", "127.0.0.1:${srt.port}", "127.0.0.1:${dead}"]
retries = 3
retry_delay = "500ms"
target_timeout = "5s"
ladder = [360, 180]
segment = "2s"
part = "500ms"
linger = "20s"
`;
  stage = await Stage.over(await Server.configured(configuration(streaming)));
  visitors = await Visitors.of(stage.server);
});
after(async () => {
  await visitors?.close();
  await stage?.close();
  await rtmp?.stop();
  await srt?.stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});
afterEach(() => stage.clear());

async function begin(room, wish) {
  const begun = await egress(stage.server, 'StartRoomCompositeEgress', { roomName: room, layout: 'grid', advanced: ENCODING, ...wish });
  assert.equal(begun.status, 200, JSON.stringify(begun.body));
  return begun.body.egressId;
}

const stopped = async (room, egressId) => {
  assert.equal((await egress(stage.server, 'StopEgress', { egressId })).status, 200);
  return until(stage.server, room, egressId, 'EGRESS_COMPLETE', PATIENCE);
};

const targetsOf = async (room, id) => (await recording(stage.server, room, id)).live.targets;

/** Ada's bars stand in one of the two tiles. */
function assertAda(look, { width, height }, what) {
  const half = width / 2;
  const tiles = [0, half].map((left) => ({ bars: BARS.map((_, bar) => look(Math.floor(left + (bar + 0.5) * half / BARS.length), Math.floor(height * 0.47))) }));
  const seen = tiles.filter((tile) => { try { assertBars(tile, what); return true; } catch { return false; } });
  assert.equal(seen.length, 1, `${what}: ${JSON.stringify(tiles)}`);
}

function assertFilm(path, what) {
  const { streams } = probe(path);
  const [video, audio] = ['video', 'audio'].map((kind) => streams.find((each) => each.codec_type === kind));
  assert.deepEqual([video?.codec_name, video?.width, video?.height, audio?.codec_name], ['h264', SIZE.width, SIZE.height, 'aac'], what);
  assertAda(lastPicture(path, SIZE), SIZE, what);
  const sound = join(folder, `${statSync(path).ino}.wav`);
  // Without its last second: the microphone may have been gone before the stream ended.
  execFileSync('ffmpeg', ['-v', 'fatal', '-y', '-i', path, '-vn', '-af', 'areverse,atrim=start=1,areverse', sound]);
  const tone = pitchOf(sound);
  assert.ok(Math.abs(tone.hertz - HERTZ) < 12 && tone.loudest > 1000, `${what}: ${tone.hertz} Hz at ${tone.loudest}`);
}

describe('a room that is streamed', () => {
  it('comes to all targets that take it, whatever becomes of the others, and no key is told', async () => {
    const room = stage.room();
    await seenAndHeard(stage, room);
    const gone = `rtmp://127.0.0.1:${dead}/live/${KEY}`;
    const id = await begin(room, { streamOutputs: [{ urls: [rtmp.url(KEY), srt.url(), gone] }] });
    await until(stage.server, room, id, 'EGRESS_ACTIVE', PATIENCE);
    const failed = await eventually('the dead target to be given up', async () => {
      const found = (await targetsOf(room, id)).find(({ url }) => url.includes(String(dead)));
      return found.status === 'FAILED' && found;
    }, PATIENCE);
    assert.equal(failed.retries, 3);
    assert.match(failed.error, new RegExp(`rtmp://127.0.0.1:${dead}: .*tried 4 times`));
    await eventually('the stream', () => rtmp.recorded(KEY).some((file) => statSync(file).size > 200_000), PATIENCE);
    const others = (await targetsOf(room, id)).filter(({ url }) => !url.includes(String(dead)));
    assert.deepEqual(others.map(({ status, retries }) => [status, retries]), [['ACTIVE', 0], ['ACTIVE', 0]]);
    const processes = execFileSync('ps', ['axww', '-o', 'args']).toString();
    assert.ok(processes.includes('parvis-media push'), 'one process for each target');
    assert.ok(!processes.includes(KEY) && !processes.includes('hushhushhush'), 'no key on a command line');
    const ended = await stopped(room, id);
    assert.deepEqual(ended.live.targets.map(({ status }) => status), ['FINISHED', 'FINISHED', 'FAILED']);
    assert.ok(!JSON.stringify(ended).includes(KEY));
    const { body } = await egress(stage.server, 'ListEgress', { egressId: id });
    assert.ok(!JSON.stringify(body).includes(KEY) && !JSON.stringify(body).includes('hushhushhush'));
    assert.ok(!stage.server.log.join('\n').includes(KEY), 'no key in the log');
    await eventually('the pushers to end', () => !execFileSync('ps', ['axww', '-o', 'args']).toString().includes('parvis-media push'));
    assertFilm(rtmp.recorded(KEY)[0], 'nginx');
    assertFilm(srt.file, 'SRT');
    assert.ok(!existsSync(kept(stage.server, id)), 'nothing is kept of it');
  });

  it('goes on at a target that went and came again, and where it is added later', async () => {
    const room = stage.room();
    await seenAndHeard(stage, room);
    const id = await begin(room, { streamOutputs: [{ urls: [rtmp.url('comes-again')] }] });
    await eventually('the stream', () => rtmp.recorded('comes-again').some((file) => statSync(file).size > 50_000), PATIENCE);
    await rtmp.stop();
    const again = await eventually('it to be tried again', async () => {
      const [target] = await targetsOf(room, id);
      return target.retries > 0 && target;
    }, PATIENCE);
    assert.equal(again.status, 'ACTIVE');
    rmSync(`${rtmp.files}.pid`, { force: true });
    await rtmp.start();
    await eventually('the stream anew', () => rtmp.recorded('comes-again').length > 1 && statSync(rtmp.recorded('comes-again').at(-1)).size > 50_000, PATIENCE);
    await eventually('that it is well', async () => (await targetsOf(room, id))[0].error === undefined, PATIENCE);

    const changed = await egress(stage.server, 'UpdateStream', { egressId: id, addOutputUrls: [rtmp.url('added')], removeOutputUrls: [rtmp.url('comes-again')] });
    assert.equal(changed.status, 200, JSON.stringify(changed.body));
    await eventually('the added one', () => rtmp.recorded('added').some((file) => statSync(file).size > 50_000), PATIENCE);
    await eventually('the removed one', async () => (await targetsOf(room, id))[0].status === 'FINISHED');
    const size = statSync(rtmp.recorded('comes-again').at(-1)).size;
    await new Promise((done) => setTimeout(done, 2000));
    assert.equal(statSync(rtmp.recorded('comes-again').at(-1)).size, size, 'nothing more comes there');
    await stopped(room, id);
    assertFilm(rtmp.recorded('comes-again').at(-1), 'the one that came again');
    assertFilm(rtmp.recorded('added')[0], 'the added one');
  });

  it('fails where no target takes it, and is refused where it may not go', async () => {
    const room = stage.room();
    await seenAndHeard(stage, room);
    const id = await begin(room, { streamOutputs: [{ urls: [`rtmp://127.0.0.1:${dead}/live/${KEY}`] }] });
    const failed = await until(stage.server, room, id, 'EGRESS_FAILED', PATIENCE);
    assert.match(failed.error, /every target of the stream has failed: .*tried 4 times/);
    const inside = await begin(room, { streamOutputs: [{ urls: [`rtmp://127.0.0.1:${dead === 1935 ? 1936 : 1935}/live/${KEY}`] }] });
    assert.match((await until(stage.server, room, inside, 'EGRESS_FAILED', PATIENCE)).error, /own network.*streaming\.allow_internal/);
    const listener = await egress(stage.server, 'StartRoomCompositeEgress', { roomName: room, streamOutputs: [{ urls: ['srt://:9000?mode=listener'] }] });
    assert.ok(listener.status >= 400 && !JSON.stringify(listener.body).includes('listener'), JSON.stringify(listener.body));
  });
});

describe('a stream that is watched', () => {
  it('plays on its page with pictures and sound as they were sent, follows a layout, and says when it has ended', async () => {
    const room = stage.room();
    await seenAndHeard(stage, room);
    const begun = await ask(stage.server, 'POST', `/api/rooms/${room}/recordings`, { live: { layout: 'grid', watched: true } });
    assert.equal(begun.status, 201, JSON.stringify(begun.body));
    const { id } = begun.body;
    const { live: { page: path, playlist } } = await eventually('where it is watched', async () => {
      const found = await recording(stage.server, room, id);
      return found.live && found;
    }, PATIENCE);
    assert.match(path, /^\/live\/[0-9a-f]{32}$/);
    await eventually('the playlist', async () => (await fetch(`${stage.server.url}${playlist}`)).status === 200, PATIENCE);

    const answer = await fetch(`${stage.server.url}${playlist}`, { headers: { origin: 'https://elsewhere.example' } });
    assert.equal(answer.headers.get('access-control-allow-origin'), '*');
    assert.equal(answer.headers.get('cache-control'), 'no-cache');
    const main = await answer.text();
    assert.match(main, /RESOLUTION=1280x720[^\n]*CODECS="avc1\.[0-9a-fA-F]{6},mp4a\.40\.2"/);
    assert.match(main, /\n360\.m3u8\n/);
    const [list, first] = await eventually('a segment', async () => {
      const text = await (await fetch(`${stage.server.url}${path}/360.m3u8`)).text();
      const name = /^360-\d+\.m4s$/m.exec(text)?.[0];
      return name && [text, name];
    });
    assert.match(list, /#EXT-X-PART:DURATION=0\.\d+,URI="360-\d+\.0\.m4s",INDEPENDENT=YES/);
    const segment = await fetch(`${stage.server.url}${path}/${first}`);
    assert.match(segment.headers.get('cache-control'), /immutable/);
    const newest = Number(/#EXT-X-MEDIA-SEQUENCE:(\d+)/.exec(list)[1]) + list.match(/#EXTINF/g).length;
    const asked = Date.now();
    const next = await (await fetch(`${stage.server.url}${path}/360.m3u8?_HLS_msn=${newest + 1}&_HLS_part=0`)).text();
    assert.ok(next.includes(`360-${newest + 1}.0.m4s`) && Date.now() - asked > 100, 'it is answered when that part is there');

    const viewer = await visitors.someone(path, { devices: false });
    const state = () => viewer.page.evaluate(() => {
      const video = document.querySelector('video');
      if (!video) return { at: 0 };
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [640, 360];
      const context = canvas.getContext('2d', { willReadFrequently: true });
      context.drawImage(video, 0, 0, 640, 360);
      return { at: video.currentTime, row: [...context.getImageData(0, 169, 640, 1).data] };
    });
    await eventually('the video', async () => (await state()).at > 0, PATIENCE);
    const before = await state();
    await new Promise((done) => setTimeout(done, 4000));
    const now = await state();
    assert.ok(now.at - before.at > 2, `it plays: ${before.at} to ${now.at} s`);
    assertAda((x) => now.row.slice(x * 4, x * 4 + 3), SIZE, 'the page');
    if (process.env.PARVIS_SCREENSHOTS) await viewer.page.screenshot({ path: join(process.env.PARVIS_SCREENSHOTS, 'live.png') });
    if (await button(viewer, 'Turn the sound on').isVisible()) await button(viewer, 'Turn the sound on').click();

    const speaker = await egress(stage.server, 'UpdateLayout', { egressId: id, layout: 'single' });
    assert.equal(speaker.status, 200, JSON.stringify(speaker.body));
    assert.ok(await stage.server.figure('parvis_live_requests_total') > 10);
    await stopped(room, id);
    await viewer.page.getByRole('heading', { name: 'The stream has ended' }).waitFor({ timeout: PATIENCE });
    if (process.env.PARVIS_SCREENSHOTS) await viewer.page.screenshot({ path: join(process.env.PARVIS_SCREENSHOTS, 'ended.png') });
    await visitors.leave();
    assert.match(await (await fetch(`${stage.server.url}${path}/360.m3u8`)).text(), /#EXT-X-ENDLIST\n$/);
    await eventually('it to be gone', async () => (await fetch(`${stage.server.url}${playlist}`)).status === 404, PATIENCE);
  });
});
