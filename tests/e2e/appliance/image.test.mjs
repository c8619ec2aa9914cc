// SPDX-License-Identifier: EUPL-1.2
// A call through the booted image, by a published SDK: one sends bars and a tone, the other sees and hears them.
// `cargo xtask image --test` boots it and runs this.
import { after, it } from 'node:test';
import { assertBars, assertTone } from '../support/check.mjs';
import { HERTZ, SMALL, Stage } from '../support/call.mjs';

const url = process.env.PARVIS_IMAGE;
let stage;
after(() => stage?.close());

it('two people see and hear each other through the image', async () => {
  stage = await Stage.over({
    url, ws: url.replace(/^http/, 'ws'), key: { name: 'main', secret: process.env.PARVIS_IMAGE_SECRET }, stop: async () => {},
  });
  const room = stage.room();
  const ada = await stage.join('python', room, 'ada');
  const bob = await stage.join('python', room, 'bob');
  await ada.ask('publishBars', { ...SMALL, fps: 5 });
  await ada.ask('publishTone', { hertz: HERTZ });
  assertBars(await bob.ask('seen', { identity: 'ada' }), 'ada');
  assertTone(await bob.ask('heard', { identity: 'ada' }), HERTZ, 'ada');
});
