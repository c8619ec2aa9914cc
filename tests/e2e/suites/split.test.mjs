// SPDX-License-Identifier: EUPL-1.2
// One room over two shards: with one peer connection on each before the next one is used, people see and hear each other
// by trunks.
import { after, afterEach, before, describe, it } from 'node:test';
import { assertBars, assertTone, eventually } from '../support/check.mjs';
import { HERTZ, SMALL, Stage } from '../support/call.mjs';
import { Server } from '../support/server.mjs';

let stage;
before(async () => (stage = await Stage.over(await Server.configured('[media]\nshards = 2\nmax_room_peers_per_shard = 1\n'))));
after(() => stage?.close());
afterEach(() => stage.clear());

describe('one room over two shards', () => {
  it('Chromiums on two shards see and hear each other', async () => {
    const room = stage.room();
    const names = ['ada', 'bo', 'cleo'];
    const callers = [];
    for (const name of names) callers.push(await stage.join('chromium', room, name));
    for (const caller of callers) {
      await caller.ask('publishBars', { ...SMALL, videoCodec: 'vp8', simulcast: false });
      await caller.ask('publishTone', { hertz: HERTZ });
    }
    for (const to of callers) {
      for (const from of names.filter((name) => name !== to.identity)) {
        assertBars(await to.ask('seen', { identity: from }), `${to.identity} of ${from}`);
        assertTone(await to.ask('heard', { identity: from }), HERTZ, `${to.identity} of ${from}`);
      }
    }
    for (const shard of [0, 1]) {
      const packets = () => stage.server.figure('parvis_forwarder_trunk_packets_in_total', { shard });
      await eventually(`packets that come to shard ${shard} by trunk`, async () => (await packets()) > 100);
    }
  });

  for (const [name, how] of [
    ['simulcast', { videoCodec: 'vp8', simulcast: true }],
    ['SVC', { videoCodec: 'vp9', scalabilityMode: 'L3T3_KEY', backupCodec: false }],
  ]) {
    it(`${name}: the resolution follows what a receiver on the other shard asks for`, async () => {
      const room = stage.room();
      const [sender, receiver] = [await stage.join('chromium', room, 'sender'), await stage.join('chromium', room, 'receiver')];
      await sender.ask('publishBars', { width: 1280, height: 720, fps: 10, ...how });
      for (const [quality, width] of [[0, 320], [2, 1280], [1, 640], [0, 320]]) {
        await receiver.ask('setQuality', { identity: 'sender', quality });
        await eventually(`${width} pixels for quality ${quality}`, async () => (await receiver.ask('seen', { identity: 'sender' })).width === width, 30000);
        assertBars(await receiver.ask('seen', { identity: 'sender' }), `quality ${quality}`);
      }
    });
  }
});
