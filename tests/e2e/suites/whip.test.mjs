// SPDX-License-Identifier: EUPL-1.2
// Publishing and watching over HTTP (WHIP and WHEP): GStreamer and bare browser pages beside callers on the SDKs.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { open } from '../support/browsers.mjs';
import { HERTZ, SMALL, Stage } from '../support/call.mjs';
import { assertBars, assertTone, eventually } from '../support/check.mjs';
import { start } from '../support/children.mjs';
import { token } from '../support/server.mjs';
import { shows } from '../support/shows.mjs';

const INGRESS = 1;
let stage;
before(async () => (stage = await Stage.open()));
after(() => stage?.close());
afterEach(() => stage.clear());

const keep = (caller) => (stage.callers.push(caller), caller);
const page = async () => keep(await open('chromium', stage.page.url));
const whip = () => `${stage.server.url}/whip/v1`;
const whep = (room, query = '') => `${stage.server.url}/whep/${room}${query}`;
const participant = async (caller, identity) => (await caller.ask('state')).participants.find((each) => each.identity === identity);

/** A caller without an SDK. Both kinds are asked alike. */
const bare = async (kind) => (kind === 'page' ? page() : keep(start(kind)));

describe('WHIP', () => {
  for (const receiver of ['chromium', 'python']) {
    it(`what GStreamer publishes reaches ${receiver} with its colours and its tone, until DELETE`, shows({ gstreamer: ['whip', 'whip-delete'] }, async () => {
      const room = stage.room();
      const viewer = await stage.join(receiver, room, 'viewer');
      const studio = keep(start('gstreamer'));
      const published = await studio.ask('whip', { url: whip(), token: token(room, 'studio'), ...SMALL, hertz: HERTZ });
      assert.equal(published.status, 201);
      assert.match(published.url, /\/whip\/v1\/PA_/);
      assertBars(await viewer.ask('seen', { identity: 'studio' }), receiver);
      assertTone(await viewer.ask('heard', { identity: 'studio' }), HERTZ, receiver);
      if (receiver === 'chromium') assert.equal((await participant(viewer, 'studio')).kind, INGRESS);
      assert.equal(await studio.ask('endOverHttp'), 200);
      await eventually('the end of studio', async () => !(await participant(viewer, 'studio')));
    }));
  }

  for (const [kind, from, codec] of [['page', 'a bare page', 'video/H264'], ['gstreamer', 'GStreamer', 'H264']]) {
    it(`H.264, which OBS sends, reaches Chromium and Python with its colours from ${from}`, shows({ [kind]: ['whip', 'whip-h264'] }, async () => {
      const room = stage.room();
      const [viewer, python] = [await stage.join('chromium', room, 'viewer'), await stage.join('python', room, 'python')];
      const studio = await bare(kind);
      await studio.ask('whip', { url: whip(), token: token(room, 'studio'), ...SMALL, hertz: HERTZ, codec });
      for (const caller of [viewer, python]) {
        assertBars(await caller.ask('seen', { identity: 'studio' }), caller.identity);
        assertTone(await caller.ask('heard', { identity: 'studio' }), HERTZ, caller.identity);
      }
      const pictures = (await viewer.ask('stats')).inbound.filter(({ kind, decoded }) => kind === 'video' && decoded > 0);
      assert.deepEqual(pictures.map(({ codec }) => codec), ['video/H264']);
    }));
  }

  for (const [kind, from] of [['page', 'a bare page'], ['gstreamer', 'GStreamer']]) {
    it(`simulcast from ${from}: the resolution follows the layer that the receiver asks for`, shows({ [kind]: ['whip', 'whip-simulcast'] }, async () => {
      const room = stage.room();
      const viewer = await stage.join('chromium', room, 'viewer');
      const studio = await bare(kind);
      await studio.ask('whip', { url: whip(), token: token(room, 'studio'), width: 1280, height: 720, fps: 10, simulcast: true });
      for (const [quality, width] of [[0, 320], [2, 1280], [1, 640]]) {
        await viewer.ask('seen', { identity: 'studio' });
        await viewer.ask('setQuality', { identity: 'studio', quality });
        await eventually(`${width} pixels for quality ${quality}`, async () => (await viewer.ask('seen', { identity: 'studio' })).width === width, 30000);
        assertBars(await viewer.ask('seen', { identity: 'studio' }), `quality ${quality}`);
      }
    }));
  }

  it('GStreamer offers before it knows a candidate, and sends each as it comes', shows({ gstreamer: ['whip', 'whip-trickle'] }, async () => {
    const room = stage.room();
    const viewer = await stage.join('chromium', room, 'viewer');
    const studio = keep(start('gstreamer'));
    const { status, etag, offer, trickled } = await studio.ask('whip', { url: whip(), token: token(room, 'studio'), ...SMALL, hertz: HERTZ, trickle: true });
    assert.equal(status, 201);
    assert.match(etag, /^"\S+"$/);
    assert.doesNotMatch(offer, /a=candidate/);
    assert.ok(trickled.taken.length > 0);
    assert.deepEqual([...new Set(trickled.taken)], [204]);
    assert.equal(trickled['of another'], 412);
    assertBars(await viewer.ask('seen', { identity: 'studio' }), 'viewer');
    assertTone(await viewer.ask('heard', { identity: 'studio' }), HERTZ, 'viewer');
  }));

  it('ICE starts anew by PATCH, and the picture goes on', shows({ page: ['whip', 'whip-trickle', 'whip-restart', 'whip-delete'] }, async () => {
    const room = stage.room();
    const viewer = await stage.join('chromium', room, 'viewer');
    const studio = await page();
    await studio.ask('whip', { url: whip(), token: token(room, 'studio'), ...SMALL });
    assertBars(await viewer.ask('seen', { identity: 'studio' }), 'before');
    assert.equal(await studio.ask('trickleOverHttp'), 204);
    const { former, tag } = await studio.ask('restartOverHttp');
    assert.notEqual(former, tag);
    assert.equal(await studio.ask('trickleOverHttp', { tag: former }), 412);
    assert.equal(await studio.ask('trickleOverHttp'), 204);
    assertBars(await viewer.ask('seen', { identity: 'studio', atLeast: 10 }), 'after');
    assert.equal(await studio.ask('endOverHttp'), 200);
  }));
});

/** Watches as soon as there is something to watch. */
const watching = (viewer, url, room) =>
  eventually('something to watch', () => viewer.ask('whep', { url, token: token(room, 'wall', { canPublish: false }) }).catch((error) => assert.match(error.message, /409/)));

describe('WHEP', () => {
  for (const [kind, who] of [['page', 'a bare page'], ['gstreamer', 'GStreamer']]) {
    it(`${who} watches whom it names, what GStreamer publishes`, shows(kind === 'gstreamer' ? { gstreamer: ['whip', 'whep'] } : { page: ['whep'], gstreamer: ['whip'] }, async () => {
      const room = stage.room();
      const studio = keep(start('gstreamer'));
      await studio.ask('whip', { url: whip(), token: token(room, 'studio'), ...SMALL, hertz: HERTZ });
      const viewer = await bare(kind);
      // What GStreamer sends is announced when its section is there, a moment after its answer.
      await watching(viewer, whep(room, '?participant=studio'), room);
      assertBars(await viewer.ask('watchedBars'), who);
      assertTone(await viewer.ask('watchedTone', { near: HERTZ }), HERTZ, who);
      assert.equal(await viewer.ask('endOverHttp'), 200);
    }));

    it(`${who} watches the speaker, and hears the next one when the first falls silent`, shows({ [kind]: ['whep-speaker'] }, async () => {
      const room = stage.room();
      const ada = await stage.join('chromium', room, 'ada');
      await ada.ask('publishBars', { ...SMALL, videoCodec: 'vp8', simulcast: false });
      await ada.ask('publishTone', { hertz: HERTZ });
      const bob = await stage.join('chromium', room, 'bob');
      await bob.ask('publishTone', { hertz: 2 * HERTZ });
      await bob.ask('setMuted', { source: 'microphone', muted: true });
      const viewer = await bare(kind);
      await watching(viewer, whep(room), room);
      assertTone(await viewer.ask('watchedTone', { near: HERTZ }), HERTZ, 'first');
      assertBars(await viewer.ask('watchedBars'), 'the picture beside it');
      await ada.ask('setMuted', { source: 'microphone', muted: true });
      await bob.ask('setMuted', { source: 'microphone', muted: false });
      assertTone(await viewer.ask('watchedTone', { near: 2 * HERTZ }), 2 * HERTZ, 'then');
    }));
  }
});
