// SPDX-License-Identifier: EUPL-1.2
// Consent to being recorded, where the room asks for it: by the buttons of our own client, and by plain HTTP for a client of LiveKit's.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join as path } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../support/check.mjs';
import { SMALL, Stage } from '../support/call.mjs';
import { Opener, begin, configuration, manifestOf, recording, stop, until } from '../support/recordings.mjs';
import { Server, token } from '../support/server.mjs';
import { Visitors, button, join } from '../support/visitors.mjs';

let server, stage, visitors, opener;
before(async () => {
  server = await Server.configured(configuration('[rooms]\nguests = true\nrecording_consent = true'));
  stage = await Stage.over(server);
  visitors = await Visitors.of(server);
  opener = new Opener();
});
after(async () => {
  opener?.close();
  await visitors?.close();
  await stage?.close();
});

/** What a participant says of itself, by the token that it joined with. */
async function consent(room, identity, answer) {
  const response = await fetch(`${server.url}/api/rooms/${room}/consent`, {
    headers: { authorization: `Bearer ${token(room, identity, {}, '', server.key)}`, 'content-type': 'application/json' },
    ...(answer !== undefined && { method: 'POST', body: JSON.stringify({ recording: answer }) }),
  });
  return { status: response.status, ...(await response.json()) };
}

describe('a room that asks', () => {
  it('keeps those who agreed, from then until they refuse, and every answer', async () => {
    const room = 'consenttest'.padEnd(26, '0');
    const silent = await stage.join('chromium', room, 'silent');
    await silent.ask('publishBars', SMALL);
    const bob = await stage.join('python', room, 'bob');
    await bob.ask('publishBars', SMALL);
    assert.deepEqual(await consent(room, 'bob'), { status: 200, asked: true, recording: null });
    assert.deepEqual(await consent(room, 'bob', true), { status: 200, asked: true, recording: true });
    assert.equal((await consent(room, 'nobody', true)).status, 404);
    const ada = await visitors.someone(`/r/${room}`);
    await join(ada, 'Ada');

    const id = await begin(server, room);
    await until(server, room, id, 'EGRESS_ACTIVE');
    const question = ada.page.getByText('May you be recorded?');
    await question.waitFor();
    await new Promise((done) => setTimeout(done, 3000));
    await button(ada, 'Record me').click();
    await question.waitFor({ state: 'detached' });
    await new Promise((done) => setTimeout(done, 4000));
    await button(ada, 'Leave me out').click();
    await ada.page.getByText('Recording, without you').waitFor();
    await eventually('Ada’s tracks to end', async () => manifestOf(server, id).tracks.filter((track) => track.to !== null).length === 2);
    await new Promise((done) => setTimeout(done, 2000));
    await stop(server, room, id);

    const { to, manifest, files, timeline } = opener.open(server, id);
    const identities = new Map(timeline.filter(({ what }) => what === 'joined').map(({ participant, identity }) => [participant, identity]));
    const name = (participant) => (identities.get(participant).startsWith('guest-') ? 'ada' : identities.get(participant));
    const kept = manifest.tracks.map((track) => `${name(track.participant)} ${track.kind}`).sort();
    assert.deepEqual(kept, ['ada audio', 'ada video', 'bob video'], 'and nothing of whoever did not answer');
    const answers = timeline.filter(({ what }) => what === 'consent');
    assert.deepEqual(answers.map((each) => `${name(each.participant)} ${each.given}`), ['bob true', 'ada true', 'ada false']);
    assert.ok(answers[0].at < 0, 'Bob agreed before');
    // Each second of Ada that was kept lies between her two answers.
    const [, yes, no] = answers.map((each) => each.at);
    for (const track of manifest.tracks.filter((track) => name(track.participant) === 'ada')) {
      const [first, last] = [Math.min(...track.parts.map((part) => part.first)), Math.max(...track.parts.map((part) => part.last))];
      assert.ok(first >= yes - 100_000 && last <= no + 200_000, `${first} to ${last}, answered at ${yes} and ${no}`);
      assert.ok(last - first > 2_000_000, `${last - first} µs were kept`);
    }
    const video = files.find((file) => file.startsWith(manifest.tracks.find((track) => name(track.participant) === 'bob').track));
    const frames = execFileSync('ffprobe', ['-v', 'error', '-count_frames', '-show_entries', 'stream=nb_read_frames', '-of', 'csv=p=0', path(to, video)]);
    assert.ok(Number(frames.toString()) > 50, `${frames} frames of Bob`);
    assert.equal((await recording(server, room, id)).status, 'EGRESS_COMPLETE');
  });
});
