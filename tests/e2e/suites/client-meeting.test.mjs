// SPDX-License-Identifier: EUPL-1.2
// The meeting around the call, in the client that people open: the door, chat, hands, polls, and what a moderator does.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../support/check.mjs';
import { loudest } from '../support/foxes.mjs';
import { CUT_OFF, expected, knock, openFromList, openPanel, panel, REFUSED, tiles } from '../support/panels.mjs';
import { button, join, newMeeting, openHouse } from '../support/visitors.mjs';

const house = openHouse();

const status = ({ page }) => page.locator('body > #app > p[role=status], main ~ p[role=status]').first();

async function say(person, text) {
  const input = panel(person).getByRole('textbox', { name: /^Message to/ });
  await input.fill(text);
  await input.press('Enter');
  await eventually('the message is on its way', async () => (await input.inputValue()) === '');
}

const messages = (person) => panel(person).getByRole('region', { name: 'Messages' }).getByRole('article');

/** How loud the loudest is that somebody hears. */
const heard = ({ page }) => page.evaluate(loudest);

describe('the door', () => {
  it('whoever knocks waits outside and sees nothing of the meeting; one is admitted, another refused', async () => {
    const ada = await house.visitors.someone();
    const path = await newMeeting(ada, { title: 'Council, budget', lobby: true });
    await join(ada, 'Ada');

    const bo = await house.visitors.someone(path);
    await knock(bo, 'Bo');
    await bo.page.getByRole('heading', { name: 'You will be let in soon' }).waitFor();
    assert.match(await bo.page.title(), /^Waiting to be admitted/);
    const outside = await bo.page.locator('body').innerText();
    assert.ok(outside.includes('You join as Bo.'), outside);
    for (const secret of ['Ada', 'Council']) assert.ok(!outside.includes(secret), `outside: ${outside}`);
    assert.equal(await bo.page.locator('audio, li video').count(), 0, 'no sound and no picture of the room');

    const region = ada.page.getByRole('region', { name: 'People waiting outside' });
    await region.getByText('Bo is waiting to come in.').waitFor();
    await eventually('it is said', async () => (await status(ada).textContent()).includes('Bo is waiting to come in.'));
    await region.getByRole('button', { name: 'Admit' }).click();
    await button(bo, 'Leave the meeting').waitFor({ timeout: 20_000 });
    await tiles(bo).filter({ hasText: 'Ada' }).waitFor();
    await region.waitFor({ state: 'detached' });

    // A reload is the same person, who need not knock again.
    await bo.page.reload();
    await join(bo, 'Bo');
    await eventually('Bo is there once', async () => (await tiles(ada).filter({ hasText: 'Bo' }).count()) === 1);

    const cem = await house.visitors.someone(path);
    await knock(cem, 'Cem');
    await openPanel(ada, /^People/);
    await panel(ada).getByRole('button', { name: 'Refuse Cem' }).click();
    await cem.page.getByText('You were not admitted').waitFor();
    assert.equal(await tiles(ada).filter({ hasText: 'Cem' }).count(), 0);
  });

  it('a password is asked for, and a wrong one is said to be wrong', async () => {
    const ada = await house.visitors.someone();
    const path = await newMeeting(ada, { password: 'Lantern 7' });
    // Whoever made the room needs none.
    await join(ada, 'Ada');
    const bo = await house.visitors.someone(path);
    await knock(bo, 'Bo');
    await bo.page.getByRole('heading', { name: 'This meeting has a password' }).waitFor();
    const field = bo.page.getByLabel('Password', { exact: true });
    await field.fill('lantern 7');
    await field.press('Enter');
    await bo.page.getByText(/^This is not the password\./).waitFor();
    assert.equal(await field.getAttribute('aria-invalid'), 'true');
    await field.fill('Lantern 7');
    await field.press('Enter');
    await tiles(bo).filter({ hasText: 'Ada' }).waitFor({ timeout: 20_000 });
    expected(bo, REFUSED);
  });
});

describe('in the meeting', () => {
  it('chat: what one writes the other reads, as text; replies, retracting and what is unread', async () => {
    const ada = await house.visitors.someone();
    const path = await newMeeting(ada);
    await join(ada, 'Ada');
    const bo = await join(await house.visitors.someone(path), 'Bo');

    await openPanel(ada, /^Chat/);
    const evil = '<img src=x onerror=alert(1)> see https://example.org/a?b=c.';
    await say(ada, evil);
    await button(bo, 'Chat, 1 new message').waitFor();
    await eventually('it is said', async () => (await status(bo).textContent()).startsWith('Ada: <img'));
    await openPanel(bo, /^Chat/);
    await button(bo, 'Chat').first().waitFor();
    const first = messages(bo).first();
    assert.equal((await first.locator('.text').textContent()).trim(), evil);
    assert.equal(await panel(bo).locator('img').count(), 0, 'no markup of others');
    const link = first.getByRole('link');
    assert.equal(await link.getAttribute('href'), 'https://example.org/a?b=c');
    assert.equal(await link.getAttribute('rel'), 'noopener noreferrer');

    await first.hover();
    await first.getByRole('button', { name: 'Reply to Ada' }).click();
    await say(bo, 'Seen');
    await messages(ada).filter({ hasText: 'Seen' }).locator('blockquote', { hasText: 'Ada: <img' }).waitFor();
    await messages(bo).last().hover();
    await messages(bo).last().getByRole('button', { name: 'Retract your message' }).click();
    await messages(ada).last().getByText('This message was retracted.').waitFor();
    assert.equal(await messages(ada).filter({ hasText: 'Seen' }).count(), 0);

    // Escape closes the panel and gives the focus back.
    await panel(bo).getByRole('textbox', { name: /^Message to/ }).press('Escape');
    await panel(bo).waitFor({ state: 'detached' });
    await eventually('the focus is on the button again', () => bo.page.evaluate(() => document.activeElement?.ariaLabel?.startsWith('Chat')));
  });

  it('hands stand in the order in which they were raised; the one who is called is told', async () => {
    const ada = await house.visitors.someone();
    const path = await newMeeting(ada);
    await join(ada, 'Ada');
    const bo = await join(await house.visitors.someone(path), 'Bo');
    const cem = await join(await house.visitors.someone(path), 'Cem');
    await button(cem, 'Turn off microphone').click();

    await button(cem, 'Raise your hand').click();
    await button(cem, 'Lower your hand, number 1 in the queue').waitFor();
    await button(bo, 'Raise your hand').click();
    await button(bo, 'Lower your hand, number 2 in the queue').waitFor();
    await openPanel(ada, /^People/);
    const rows = panel(ada).getByRole('list', { name: 'People in this meeting' }).getByRole('listitem');
    await eventually('the queue', async () => {
      const texts = await rows.allTextContents();
      return /Cem.*number 1/.test(texts[0] ?? '') && /Bo.*number 2/.test(texts[1] ?? '') && /Ada/.test(texts[2] ?? '');
    });
    await button(ada, 'Actions for Cem').click();
    await ada.page.getByRole('dialog', { name: 'Cem' }).getByRole('button', { name: 'Give the floor' }).click();
    await cem.page.getByText('Ada gives you the floor.').first().waitFor();
    await cem.page.getByRole('button', { name: 'Turn on', exact: true }).click();
    await button(cem, 'Turn off microphone').waitFor();
    await button(bo, 'Lower your hand, number 1 in the queue').waitFor();
  });

  it('a poll is asked, answered, changed and closed: nobody reads the counts before', async () => {
    const ada = await house.visitors.someone();
    const path = await newMeeting(ada);
    await join(ada, 'Ada');
    const bo = await join(await house.visitors.someone(path), 'Bo');

    await openFromList(ada, 'Polls');
    await panel(ada).getByRole('button', { name: 'New poll' }).click();
    await panel(ada).getByLabel('Question').fill('Do we adopt the minutes?');
    await panel(ada).getByLabel('Answer 1', { exact: true }).fill('Yes');
    await panel(ada).getByLabel('Answer 2', { exact: true }).fill('No');
    await panel(ada).getByRole('button', { name: 'Start the poll' }).click();

    await eventually('it is said', async () => (await status(bo).textContent()).includes('New poll: Do we adopt the minutes?'));
    await openFromList(bo, 'Polls');
    const poll = panel(bo).getByRole('article', { name: 'Do we adopt the minutes?' });
    await poll.getByLabel('No').check();
    await poll.getByRole('button', { name: 'Vote' }).click();
    await poll.getByText('You have voted.').waitFor();
    assert.ok(!(await poll.innerText()).includes('%'), 'no counts while it is open');
    await poll.getByLabel('Yes').check();
    await poll.getByRole('button', { name: 'Change my vote' }).click();
    const own = panel(ada).getByRole('article', { name: 'Do we adopt the minutes?' });
    await own.getByLabel('No').check();
    await own.getByRole('button', { name: 'Vote' }).click();
    await own.getByText('2 people have voted so far.').waitFor();
    await own.getByRole('button', { name: 'Close the poll' }).click();
    for (const card of [own, poll]) {
      await card.getByText('Closed. 2 people voted.').waitFor();
      const items = card.getByRole('listitem');
      assert.match((await items.nth(0).innerText()).replaceAll(/\s+/g, ' '), /^Yes 1 vote, 50% Bo$/);
      assert.match((await items.nth(1).innerText()).replaceAll(/\s+/g, ' '), /^No 1 vote, 50% Ada$/);
    }
  });

  it('a file is sent once the rules allow it, and is saved byte for byte by a press', async () => {
    const ada = await house.visitors.someone();
    const path = await newMeeting(ada);
    await join(ada, 'Ada');
    const bo = await join(await house.visitors.someone(path), 'Bo');
    await openFromList(ada, 'Run the meeting');
    const allowed = panel(ada).getByLabel('Sending files');
    if (!(await allowed.isChecked())) await allowed.click();
    await eventually('the rule holds', () => allowed.isChecked());
    await openPanel(ada, /^Chat/);
    await openPanel(bo, /^Chat/);
    const content = Buffer.from(Array.from({ length: 150_000 }, (_, i) => (i * 7) % 256));
    await panel(ada).getByRole('button', { name: /^Send a file to all, up to/ }).waitFor();
    await panel(ada).locator('input[type=file]').setInputFiles({ name: '<b>plan</b>.html', mimeType: 'text/html', buffer: content });
    const file = panel(bo).getByRole('article').filter({ hasText: 'text/html' });
    const save = file.getByRole('button', { name: /^Save / });
    await save.waitFor();
    // What browsers and systems would stumble over is out of the name; what tells the kind is not.
    assert.match(await file.innerText(), /b_\.html/);
    assert.equal(await file.locator('b').count(), 0, 'no markup of others');
    const [download] = await Promise.all([bo.page.waitForEvent('download'), save.click()]);
    assert.equal(download.suggestedFilename(), 'b_.html');
    const chunks = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk);
    assert.ok(Buffer.concat(chunks).equals(content), 'the same bytes');
    await panel(ada).getByText('Sent to those who are here.').waitFor();
  });

  it('breakout rooms: whoever is sent to one is there and nowhere else, reads a broadcast, and comes back', async () => {
    const ada = await house.visitors.someone();
    const path = await newMeeting(ada);
    await join(ada, 'Ada');
    const bo = await join(await house.visitors.someone(path), 'Bo');
    await tiles(ada).filter({ hasText: 'Bo' }).waitFor();
    await openFromList(ada, 'Breakout rooms');
    await panel(ada).getByLabel('Bo', { exact: true }).selectOption('Room 2');
    await panel(ada).getByRole('button', { name: 'Open the rooms' }).click();
    await bo.page.getByText('You are now in Room 2.').first().waitFor({ timeout: 20_000 });
    await eventually('Bo is in the other room', async () => (await tiles(ada).filter({ hasText: 'Bo' }).count()) === 0);
    await eventually('Ada is not there', async () => (await tiles(bo).allTextContents()).every((text) => text.includes('Bo')));
    await panel(ada).getByRole('region', { name: 'Room 2' }).getByText('Bo', { exact: true }).waitFor();
    await panel(ada).getByText(/^1[45]:\d\d left$/).waitFor();
    await ada.page.getByText('Nobody else is here at the moment.').waitFor();
    await ada.page.getByText('People in the breakout rooms: 1.').waitFor();
    assert.equal(await ada.page.getByText('You are the first one here.').count(), 0);
    await panel(ada).getByLabel('Message to all rooms').fill('Two more minutes');
    await panel(ada).getByRole('button', { name: 'Send to all rooms' }).click();
    const broadcast = bo.page.locator('.notice').getByText('Ada to all rooms: Two more minutes');
    await broadcast.waitFor();
    assert.equal(await broadcast.count(), 1, 'it is shown once');
    await openFromList(bo, 'Breakout rooms');
    await panel(bo).getByRole('button', { name: 'Ask for help' }).click();
    await ada.page.getByText('Bo asks for help in Room 2.').first().waitFor();
    await panel(ada).getByRole('button', { name: 'Close the rooms' }).click();
    await tiles(ada).filter({ hasText: 'Bo' }).waitFor({ timeout: 20_000 });
    await tiles(bo).filter({ hasText: 'Ada' }).waitFor({ timeout: 20_000 });
    await button(bo, 'Turn off microphone').waitFor();
    // Back in the meeting it still stands there, until he puts it away.
    await broadcast.waitFor();
    assert.equal(await broadcast.count(), 1);
    for (const person of [ada, bo]) expected(person, CUT_OFF);
  });

  it('a panel whose script does not come says so, and is there at the next press', async () => {
    const ada = await house.visitors.someone();
    await newMeeting(ada);
    let lost = 0;
    await ada.page.route(/\/assets\/asked-[^/]+\.(js|css)$/, (route) => {
      lost++;
      return route.abort();
    });
    await join(ada, 'Ada');
    await button(ada, /^Chat/).first().click();
    await ada.page.getByText('The server did not answer. Try again.').first().waitFor();
    assert.ok(lost > 0);
    assert.equal(await panel(ada).count(), 0);
    await ada.page.unrouteAll();
    await openPanel(ada, /^Chat/);
    // With its styles, too.
    assert.equal(await panel(ada).evaluate((element) => getComputedStyle(element).display), 'flex');
    expected(ada, /net::ERR_FAILED/);
  });

  it('a reaction is seen by the others near whoever sent it', async () => {
    const ada = await house.visitors.someone();
    const path = await newMeeting(ada);
    await join(ada, 'Ada');
    const bo = await join(await house.visitors.someone(path), 'Bo');
    await button(bo, 'Send a reaction').click();
    await bo.page.getByRole('toolbar', { name: 'Send a reaction' }).getByRole('button', { name: 'Applause' }).click();
    const reaction = ada.page.getByRole('img', { name: '👏 from Bo' });
    await reaction.waitFor();
    const [mark, tile] = await Promise.all([reaction.boundingBox(), tiles(ada).filter({ hasText: 'Bo' }).boundingBox()]);
    const [x, y] = [mark.x + mark.width / 2, mark.y + mark.height / 2];
    assert.ok(x > tile.x && x < tile.x + tile.width && y > tile.y && y < tile.y + tile.height, `${x},${y} in ${JSON.stringify(tile)}`);
    await reaction.waitFor({ state: 'detached', timeout: 8_000 });
  });
});

describe('what a moderator does', () => {
  it('a muted person is heard no more, is told by whom, and turns the microphone on when asked', async () => {
    const ada = await house.visitors.someone();
    const path = await newMeeting(ada);
    await join(ada, 'Ada');
    await button(ada, 'Turn off microphone').click();
    const bo = await join(await house.visitors.someone(path), 'Bo');
    await eventually('Bo is heard', async () => (await heard(ada)) > 0.01);

    await openPanel(ada, /^People/);
    await button(ada, 'Actions for Bo').click();
    await ada.page.getByRole('dialog', { name: 'Bo' }).getByRole('button', { name: 'Turn off the microphone' }).click();
    await bo.page.getByText('Ada turned off your microphone.').first().waitFor();
    await button(bo, 'Turn on microphone').waitFor();
    await eventually('Bo is heard no more', async () => (await heard(ada)) < 0.001);

    await button(ada, 'Actions for Bo').click();
    await ada.page.getByRole('dialog', { name: 'Bo' }).getByRole('button', { name: 'Ask to turn on the microphone' }).click();
    await bo.page.getByText('Ada asks you to turn on your microphone.').first().waitFor();
    await bo.page.getByRole('button', { name: 'Turn on', exact: true }).click();
    await eventually('Bo is heard again', async () => (await heard(ada)) > 0.01);
  });

  it('whoever is removed and banned is out at once, and does not come back by a reload', async () => {
    const ada = await house.visitors.someone();
    const path = await newMeeting(ada);
    await join(ada, 'Ada');
    const bo = await join(await house.visitors.someone(path), 'Bo');
    await openPanel(ada, /^People/);
    await button(ada, 'Actions for Bo').click();
    const dialog = ada.page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Remove from the meeting' }).click();
    await dialog.getByText('Do not let this person back in').click();
    await dialog.getByRole('button', { name: 'Remove and ban' }).click();
    await bo.page.getByRole('heading', { name: 'You were removed from the meeting' }).waitFor();
    await bo.page.getByText('You cannot come back.').waitFor();
    assert.equal(await button(bo, 'Join again').count(), 0);
    await eventually('Ada is alone', async () => (await tiles(ada).count()) === 1);
    await bo.page.reload();
    await knock(bo, 'Somebody else');
    await bo.page.getByText('You cannot come back to this meeting').waitFor();
    assert.equal(await tiles(ada).count(), 1);

    await openFromList(ada, 'Run the meeting');
    const back = panel(ada).getByRole('button', { name: 'Let Bo back in' });
    await back.click();
    // It is gone when the server has said so: from then on Bo may come.
    await back.waitFor({ state: 'detached' });
    await join(bo, 'Bo');
    await eventually('Bo is back', async () => (await tiles(ada).count()) === 2);
    expected(bo, REFUSED);
    expected(bo, CUT_OFF);
  });

  it('the chair ends the meeting for all', async () => {
    const ada = await house.visitors.someone();
    const path = await newMeeting(ada);
    await join(ada, 'Ada');
    const bo = await join(await house.visitors.someone(path), 'Bo');
    await tiles(ada).filter({ hasText: 'Bo' }).waitFor();
    await button(ada, 'Leave the meeting').click();
    await ada.page.getByRole('dialog', { name: 'Leave the meeting' }).getByRole('button', { name: 'End for all' }).click();
    await bo.page.getByRole('heading', { name: 'The meeting has ended' }).waitFor();
    await ada.page.getByRole('heading', { name: /^(You have left the meeting|The meeting has ended)$/ }).waitFor();
    for (const person of [ada, bo]) expected(person, CUT_OFF);
  });
});
