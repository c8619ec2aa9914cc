// SPDX-License-Identifier: EUPL-1.2
// What moderators reach from where they are, and what people set up for themselves: breakout rooms, viewers, notes from outside, the
// watermark, keys, the edge of a share, the preview of one's own, the small window.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../support/check.mjs';
import { choose, CUT_OFF, dialog, expected, knock, openFromList, openPanel, panel, tiles } from '../support/panels.mjs';
import { button, join, newMeeting, openHouse } from '../support/visitors.mjs';

const house = openHouse();
const DESK = { viewport: { width: 1280, height: 720 } };

/** A screen of one colour, in place of the real one. */
const share = (colour) => `navigator.mediaDevices.getDisplayMedia = async () => {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [1280, 720];
  const pen = canvas.getContext('2d');
  const paint = () => { pen.fillStyle = '${colour}'; pen.fillRect(0, 0, 1280, 720); };
  paint();
  setInterval(paint, 100);
  return canvas.captureStream(10);
};`;

describe('a moderator reaches', () => {
  it('people in breakout rooms: mutes them, asks them to unmute, and sees who is where', async () => {
    const ada = await house.visitors.someone();
    const path = await newMeeting(ada);
    await join(ada, 'Ada');
    const bo = await join(await house.visitors.someone(path), 'Bo');
    await tiles(ada).filter({ hasText: 'Bo' }).waitFor();
    await openFromList(ada, 'Breakout rooms');
    await panel(ada).getByLabel('Bo', { exact: true }).selectOption('Room 2');
    await panel(ada).getByRole('button', { name: 'Open the rooms' }).click();
    await bo.page.getByText('You are now in Room 2.').first().waitFor({ timeout: 20_000 });
    await panel(ada).getByRole('region', { name: 'Room 2' }).getByText('Bo', { exact: true }).waitFor();
    // He is listed there from the moment he is sent: what is turned off must be on by then, and who is told must be there to hear it.
    await button(bo, 'Turn off microphone').waitFor({ timeout: 20_000 });
    await bo.page.getByRole('button', { name: 'Raise your hand', disabled: false }).waitFor({ timeout: 20_000 });
    await eventually('his sound is out', async () => !(await tiles(bo).filter({ hasText: 'Bo' }).innerText()).includes('microphone off'));

    await panel(ada).getByRole('button', { name: 'Actions for Bo' }).click();
    await dialog(ada, 'Bo').getByRole('button', { name: 'Turn off the microphone', exact: true }).click();
    await button(bo, 'Turn on microphone').waitFor();
    await bo.page.getByText('Ada turned off your microphone.').first().waitFor();
    await panel(ada).getByRole('button', { name: 'Actions for Bo' }).click();
    await dialog(ada, 'Bo').getByRole('button', { name: 'Ask to turn on the microphone' }).click();
    await bo.page.getByRole('button', { name: 'Turn on', exact: true }).click();
    await button(bo, 'Turn off microphone').waitFor();
    for (const person of [ada, bo]) expected(person, CUT_OFF);
  });

  it('a viewer among those who are only counted, found by a part of the name and called on stage', async () => {
    const ada = await house.visitors.someone();
    const path = await newMeeting(ada);
    await join(ada, 'Ada');
    await openFromList(ada, 'Run the meeting');
    await panel(ada).getByLabel('Whoever comes in').selectOption({ label: 'watches and listens' });
    const bo = await join(await house.visitors.someone(path), 'Bo Bergström');
    await openPanel(ada, /^People/);
    await panel(ada).getByText('1 viewer').first().waitFor();
    assert.equal(await panel(ada).getByText('Bo Bergström').count(), 0, 'counted, not listed');
    const search = panel(ada).getByRole('searchbox', { name: 'Name of a viewer' });
    await search.fill('cem');
    await search.press('Enter');
    await panel(ada).getByText('Nobody here has such a name.').waitFor();
    await search.fill('STRÖM');
    await search.press('Enter');
    await panel(ada).getByRole('button', { name: 'Actions for Bo Bergström' }).click();
    await dialog(ada, 'Bo Bergström').getByRole('button', { name: 'Call on stage' }).click();
    await tiles(ada).filter({ hasText: 'Bo Bergström' }).waitFor();
    await button(bo, 'Turn on microphone').first().waitFor();
  });

  it('whoever waits, and reads the note that they left, as text', async () => {
    const ada = await house.visitors.someone();
    const path = await newMeeting(ada, { lobby: true });
    await join(ada, 'Ada');
    const bo = await house.visitors.someone(path);
    await knock(bo, 'Bo');
    await bo.page.getByLabel('A word to those who let people in').fill('<img src=x onerror=alert(1)> of the press');
    await bo.page.keyboard.press('Enter');
    await bo.page.getByText('It was passed on.').waitFor();
    await ada.page.getByRole('region', { name: 'People waiting outside' }).getByText('<img src=x onerror=alert(1)> of the press').waitFor();
    await openPanel(ada, /^People/);
    await panel(ada).getByText('<img src=x onerror=alert(1)> of the press').waitFor();
    await panel(ada).getByRole('button', { name: 'Admit Bo' }).click();
    await button(bo, 'Leave the meeting').waitFor({ timeout: 20_000 });
  });
});

/** How far from one colour the pixels of a tile are: where its own picture is flat, what is written over it. */
async function unevenness({ page }, tile) {
  const { x, y, width, height } = await tile.boundingBox();
  // The middle, where no label and no button is.
  const clip = { x: x + width * 0.15, y: y + height * 0.25, width: width * 0.7, height: height * 0.4 };
  const png = (await page.screenshot({ clip })).toString('base64');
  return page.evaluate(async (png) => {
    const bytes = Uint8Array.from(atob(png), (c) => c.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const pen = canvas.getContext('2d');
    pen.drawImage(bitmap, 0, 0);
    const { data } = pen.getImageData(0, 0, bitmap.width, bitmap.height);
    let off = 0;
    const mean = [0, 1, 2].map((c) => data.filter((_, i) => i % 4 === c).reduce((a, b) => a + b, 0) / (data.length / 4));
    for (let i = 0; i < data.length; i += 4) if ([0, 1, 2].some((c) => Math.abs(data[i + c] - mean[c]) > 18)) off += 1;
    return off / (data.length / 4);
  }, png);
}

describe('the stage', () => {
  it('has the viewer’s name over every picture where the rules say so, and the viewer cannot take it away', async () => {
    const ada = await house.visitors.someone('/', DESK);
    const path = await newMeeting(ada);
    await join(ada, 'Ada');
    const bo = await house.visitors.someone('/', DESK);
    await bo.page.addInitScript(share('#3060a0'));
    await bo.page.goto(house.server.url + path);
    await join(bo, 'Bo');
    await button(bo, 'Share your screen').click();
    const screen = tiles(ada).filter({ has: ada.page.getByRole('group', { name: 'Bo’s screen' }) });
    await screen.waitFor();
    await eventually('the flat picture is there', async () => (await unevenness(ada, screen)) < 0.002);
    await openFromList(ada, 'Run the meeting');
    await panel(ada).getByLabel('Each viewer’s name over all pictures').check();
    await ada.page.keyboard.press('Escape');
    await eventually('words over the share', async () => {
      const share = await unevenness(ada, screen);
      return share > 0.01 && share < 0.3;
    });
    const marks = ada.page.locator('canvas.watermark');
    assert.ok((await marks.count()) >= 2, 'over the share and over a camera');
    assert.equal(await ada.page.locator('[aria-hidden=true] > canvas.watermark').count(), await marks.count(), 'for the eye alone');
    // Whoever watches has the name of whoever watches, and no switch for it.
    await eventually('and over what Bo sees', async () => (await bo.page.locator('canvas.watermark').count()) >= 1);
    await button(bo, 'More').last().click();
    assert.equal(await bo.page.getByText('Each viewer’s name over all pictures').count(), 0);
  });

  it('gives a share as much room as the user says, by keys and by the pointer; two presses put it back', async () => {
    const ada = await house.visitors.someone('/', DESK);
    const path = await newMeeting(ada);
    await join(ada, 'Ada');
    const bo = await house.visitors.someone('/', DESK);
    await bo.page.addInitScript(share('#a03030'));
    await bo.page.goto(house.server.url + path);
    await join(bo, 'Bo');
    await button(bo, 'Share your screen').click();
    const screen = tiles(ada).filter({ has: ada.page.getByRole('group', { name: 'Bo’s screen' }) });
    await screen.waitFor();
    const edge = ada.page.getByRole('separator', { name: 'Size of what stands large' });
    await edge.waitFor();
    const width = async () => (await screen.boundingBox()).width;
    const built = await width();
    await edge.focus();
    for (let i = 0; i < 4; i++) await ada.page.keyboard.press('ArrowLeft');
    await eventually('smaller by keys', async () => (await width()) < built - 100);
    const value = Number(await edge.getAttribute('aria-valuenow'));
    assert.ok(value >= 30 && value <= 90, String(value));
    assert.equal(await edge.getAttribute('aria-orientation'), 'vertical');
    const box = await edge.boundingBox();
    await ada.page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await ada.page.mouse.down();
    await ada.page.mouse.move(500, box.y + box.height / 2, { steps: 5 });
    await ada.page.mouse.up();
    await eventually('where the pointer let go', async () => Math.abs((await width()) - 490) < 25);
    await edge.dblclick();
    await eventually('as it was', async () => Math.abs((await width()) - built) < 3);

    // Whoever shares sees what the others see, small, and hides it.
    const preview = bo.page.getByRole('figure', { name: 'Your screen' });
    await eventually('the preview moves', () => preview.locator('video').evaluate((video) => video.videoWidth > 0 && video.readyState >= 2));
    await button(bo, 'Hide the preview').click();
    await preview.waitFor({ state: 'detached' });
    await button(bo, 'Show the preview').click();
    await preview.waitFor();
  });

  it('fits into a small window above others, with a picture that moves and a way to mute', async () => {
    const ada = await house.visitors.someone('/', DESK);
    const path = await newMeeting(ada);
    await join(ada, 'Ada');
    await join(await house.visitors.someone(path), 'Bo');
    await tiles(ada).filter({ hasText: 'Bo' }).waitFor();
    await choose(ada, 'Small window above others');
    const inside = (look) => ada.page.evaluate(look);
    await eventually('a picture in it', () =>
      inside(() => [...(window.documentPictureInPicture?.window?.document.querySelectorAll('video') ?? [])].some((video) => video.videoWidth > 0 && video.currentTime > 0)),
    );
    await inside(() => window.documentPictureInPicture.window.document.querySelector('[aria-label="Turn off microphone"]').click());
    await button(ada, 'Turn on microphone').waitFor();
    await choose(ada, 'Close the small window');
    await eventually('it is closed', () => inside(() => window.documentPictureInPicture.window === null));
  });
});

describe('keys', () => {
  it('are changed, refused with the reason where they are taken, kept over a reload, and reset', async () => {
    const ada = await house.visitors.someone();
    await newMeeting(ada);
    await join(ada, 'Ada');
    const { keyboard } = ada.page;
    await keyboard.press('?');
    const keys = dialog(ada, 'Keyboard shortcuts');
    const change = keys.getByRole('button', { name: 'Change the keys: Microphone on or off' });
    await change.click();
    await keyboard.press('Control+e');
    await keys.getByText('These keys already have a use: Camera on or off. Choose others.').waitFor();
    await keyboard.press('m');
    await keys.getByText('Choose Ctrl together with another key, or a function key.').waitFor();
    await keyboard.press('Escape');
    await keys.getByRole('button', { name: 'Change the keys: Microphone on or off', pressed: false }).waitFor();
    await change.click();
    await keyboard.press('Control+m');
    await keys.getByRole('button', { name: 'Reset all keys' }).waitFor();
    await keyboard.press('Escape');
    await keys.waitFor({ state: 'detached' });
    await keyboard.press('Control+d');
    await keyboard.press('Control+m');
    await button(ada, 'Turn on microphone').waitFor();

    await ada.page.reload();
    await join(ada, 'Ada');
    const before = await button(ada, 'Turn off microphone').count();
    await keyboard.press('Control+m');
    await eventually('they were kept', async () => (await button(ada, 'Turn off microphone').count()) !== before);
    await keyboard.press('?');
    await keys.getByRole('button', { name: 'Reset all keys' }).click();
    await keyboard.press('Escape');
    const now = await button(ada, 'Turn off microphone').count();
    await keyboard.press('Control+d');
    await eventually('the built-in ones again', async () => (await button(ada, 'Turn off microphone').count()) !== now);
  });
});
