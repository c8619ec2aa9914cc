// SPDX-License-Identifier: EUPL-1.2
// The client in Firefox ESR, in a meeting with somebody who has Chromium: the way that everybody goes, from the link to leaving.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../support/check.mjs';
import { Foxes, loudest, seen } from '../support/foxes.mjs';
import { openPanel, panel, tiles } from '../support/panels.mjs';
import { join, newMeeting, openHouse } from '../support/visitors.mjs';

const house = openHouse();
let foxes;
before(async () => (foxes = await Foxes.open(house)));
after(() => foxes?.close());

/** Chromium's made-up camera is green. */
const isGreen = ([r, g, b]) => g > 60 && g > 2 * b && g > r;

describe('Firefox', () => {
  it('someone joins, sees and is seen, hears and is heard, writes, raises a hand, and leaves', { timeout: 180_000 }, async () => {
    const ada = await house.visitors.someone();
    const path = await newMeeting(ada, { title: 'Council' });
    await join(ada, 'Ada');
    const fay = await foxes.someone(path);
    await fay.reads('Council');
    await fay.join('Fay');
    await tiles(ada).filter({ hasText: 'Fay' }).waitFor();

    // Each sees the other, and the picture goes on.
    const first = await eventually('Ada’s picture in Firefox', async () => {
      const picture = await fay.page.evaluate(seen, 'Ada');
      return picture && isGreen(picture.colour) ? picture : undefined;
    }, 30_000);
    await eventually('it goes on', async () => (await fay.page.evaluate(seen, 'Ada')).at > first.at + 0.2);
    // Firefox' made-up camera changes its colour all the time, and is never black.
    const colours = new Set();
    await eventually('Fay’s picture in Chromium', async () => {
      const picture = await ada.page.evaluate(seen, 'Fay');
      if (picture && Math.max(...picture.colour) > 40) colours.add(picture.colour.map((part) => part >> 3).join());
      return colours.size > 2;
    }, 30_000);

    // Each hears the other, and no more what is switched off.
    await eventually('Ada is heard in Firefox', async () => (await fay.page.evaluate(loudest)) > 0.01);
    await eventually('Fay is heard in Chromium', async () => (await ada.page.evaluate(loudest)) > 0.01);
    await fay.press('Turn off microphone');
    await eventually('Fay is heard no more', async () => (await ada.page.evaluate(loudest)) < 0.001);
    await tiles(ada).filter({ hasText: 'Fay' }).getByText('microphone off').waitFor({ state: 'attached' });
    await fay.press('Turn off camera');
    await tiles(ada).filter({ hasText: 'Fay' }).locator('video').waitFor({ state: 'detached' });
    await fay.press('Turn on camera');
    await eventually('her picture is back', () => ada.page.evaluate(seen, 'Fay'), 30_000);

    // Chat, both ways; what is written is text.
    await openPanel(ada, /^Chat/);
    await panel(ada).getByRole('textbox', { name: /^Message to/ }).fill('<b>Good</b> morning');
    await ada.page.keyboard.press('Enter');
    await fay.find('button', 'Chat, 1 new message');
    await fay.press('^Chat');
    await fay.reads('<b>Good</b> morning');
    await fay.fill('Message to all', 'Good morning from a fox');
    await fay.page.keyboard.press('Enter');
    await panel(ada).getByRole('article').filter({ hasText: 'Good morning from a fox' }).getByText('Fay').waitFor();

    // A hand.
    await fay.press('Raise your hand');
    await fay.find('button', '^Lower your hand, number 1');
    await tiles(ada).filter({ hasText: 'Fay' }).getByText('hand raised, number 1').waitFor({ state: 'attached' });
    await fay.press('^Lower your hand');
    await tiles(ada).filter({ hasText: 'Fay' }).getByText('hand raised').waitFor({ state: 'detached' });

    await fay.press('Leave the meeting');
    await fay.reads('You have left the meeting');
    await eventually('Ada is alone', async () => (await tiles(ada).count()) === 1);
    assert.equal(await ada.page.evaluate(seen, 'Fay'), undefined);
  });

  it('someone without a camera and microphone reads why, and sees the other', { timeout: 120_000 }, async () => {
    const ada = await house.visitors.someone();
    const path = await newMeeting(ada);
    await join(ada, 'Ada');
    const fay = await foxes.someone('/');
    await fay.page.evaluateOnNewDocument(() => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError'));
    });
    await fay.page.goto(house.server.url + path);
    await fay.reads('The browser has blocked the camera and the microphone');
    await fay.join('Fay');
    await eventually('Ada’s picture in Firefox', async () => isGreen((await fay.page.evaluate(seen, 'Ada'))?.colour ?? [0, 0, 0]), 30_000);
    await tiles(ada).filter({ hasText: 'Fay' }).getByText('microphone off').waitFor({ state: 'attached' });
  });
});
