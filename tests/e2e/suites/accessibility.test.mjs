// SPDX-License-Identifier: EUPL-1.2
// What a machine and a keyboard can tell of accessibility: axe with the rules of WCAG 2.2 AA, RGAA 4 and EN 301 549 on every
// view and state, and each flow done without a mouse. What is found is what the statement at /accessibility says:
// `PARVIS_ACCESSIBILITY=write` writes it anew, otherwise it is held against what was found.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Axe, Keyboard } from '../support/accessible.mjs';
import { eventually } from '../support/check.mjs';
import { tiles as people } from '../support/panels.mjs';
import { button, join, newMeeting, openHouse } from '../support/visitors.mjs';

const RESULTS = new URL('../../../crates/web/client/src/accessibility/results.json', import.meta.url).pathname;
const WRITES = process.env.PARVIS_ACCESSIBILITY === 'write';

const house = openHouse();
const axe = new Axe();
const walks = [];
const someone = (path, options) => house.visitors.someone(path, options);

let planned = 0;
let passed = 0;
/** A test whose outcome the statement rests on: results are written of a run only in which every one of them has passed. */
function proves(name, options, body) {
  planned++;
  it(name, options, async () => {
    await body();
    await house.visitors.leave();
    passed++;
  });
}

let rooms = 0;
const newRoom = () => `/r/${`accesstest${++rooms}`.padEnd(26, '0')}`;
const heading = ({ page }, name) => page.getByRole('heading', { name, exact: true });

/** Light, dark, high contrast, and a small screen with letters of twice the size: the states that any view may be in. */
const STATES = [
  { name: 'light', options: { colorScheme: 'light' } },
  { name: 'dark', options: { colorScheme: 'dark' } },
  { name: 'high contrast', options: { contrast: 'more' } },
  { name: 'small', options: { viewport: { width: 320, height: 568 } } },
];

/** The views, and how one comes to each. `settled` is there when the view is. */
const VIEWS = {
  home: { path: '/', settled: (who) => button(who, 'New meeting').waitFor() },
  lobby: { path: newRoom, settled: (who) => who.page.getByLabel('Your name').waitFor() },
  alone: {
    path: newRoom,
    settled: async (who) => (await join(who, 'Ada')).page.getByText('You are the first one here.').waitFor(),
  },
  live: { path: '/live/accesstest', settled: (who) => who.page.getByRole('heading').first().waitFor() },
  unknown: { path: '/nowhere/at/all', settled: (who) => heading(who, 'There is no such page').waitFor(), served: false },
  check: { path: '/check', settled: (who) => heading(who, 'Check this device and network').waitFor() },
  statement: { path: '/accessibility', settled: (who) => heading(who, 'Accessibility statement').waitFor() },
};

/** Where each panel is opened from, and what it is called. */
const PANELS = {
  chat: { from: /^Chat/, title: 'Chat' },
  people: { from: /^People/, title: 'People' },
  invite: { from: 'Invite others', title: 'Invite others', listed: true },
  polls: { from: 'Polls', title: 'Polls', listed: true },
  breakouts: { from: 'Breakout rooms', title: 'Breakout rooms', listed: true },
  moderation: { from: 'Run the meeting', title: 'Run the meeting', listed: true },
};

/** To the door of a meeting with a lobby, where one waits. */
async function knock(who, name) {
  await who.page.getByLabel('Your name').fill(name);
  await who.page.keyboard.press('Enter');
  await heading(who, 'You will be let in soon').waitFor();
}

async function openPanel(who, from, title, narrow) {
  const listed = PANELS[Object.keys(PANELS).find((panel) => PANELS[panel].from === from)].listed;
  if (listed || narrow) {
    await button(who, /^More/).click();
    await who.page.getByRole('dialog', { name: 'More' }).getByRole('button', { name: from, exact: typeof from === 'string' }).click();
  } else {
    await button(who, from).click();
  }
  await heading(who, title).waitFor();
}

describe('axe finds no fault', () => {
  for (const [view, { path, settled, served = true }] of Object.entries(VIEWS)) {
    proves(`in the view ${view}, in light, dark, high contrast and on a small screen`, {}, async () => {
      for (const { name, options } of STATES) {
        const who = await someone(served ? (typeof path === 'function' ? path() : path) : '/', options);
        if (!served) await who.page.evaluate((path) => { history.pushState(null, '', path); dispatchEvent(new PopStateEvent('popstate')); }, path);
        await settled(who);
        await axe.look(who.page, view, name);
        // A stream that does not exist is asked for, and the browser notes that it is not there.
        if (view === 'live') who.wrongs.splice(0, Infinity, ...who.wrongs.filter((wrong) => !/status of 404/.test(wrong)));
        await who.context.close();
      }
    });
  }

  proves('in the call of two, in its settings and after it', {}, async () => {
    for (const { name, options } of STATES) {
      const room = newRoom();
      const ada = await join(await someone(room, options), 'Ada');
      const bo = await join(await someone(room), 'Bo');
      await people(ada).filter({ hasText: 'Bo' }).waitFor();
      await button(bo, 'Turn off microphone').click();
      await people(ada).filter({ hasText: 'Bo' }).getByText('microphone off').waitFor({ state: 'attached' });
      await axe.look(ada.page, 'call', name);
      await button(ada, 'More options').click();
      await ada.page.getByRole('dialog', { name: 'More' }).waitFor();
      await axe.look(ada.page, 'more', name);
      // Where the window is narrow, the settings are among the rest.
      if (options.viewport === undefined) await ada.page.keyboard.press('Escape');
      await button(ada, 'Camera and sound settings').click();
      await ada.page.getByRole('dialog', { name: 'Camera and sound settings' }).waitFor();
      await axe.look(ada.page, 'settings', name);
      await ada.page.keyboard.press('Escape');
      await button(ada, 'Leave the meeting').click();
      await heading(ada, 'You have left the meeting').waitFor();
      await axe.look(ada.page, 'after', name);
      for (const { context } of [ada, bo]) await context.close();
    }
  });

  proves('in a meeting with a lobby: the dialog that makes it, the wait, the toast, and every panel', { timeout: 300_000 }, async () => {
    for (const { name, options } of STATES) {
      const ada = await someone('/', options);
      await button(ada, 'New meeting').click();
      await ada.page.getByRole('dialog', { name: 'New meeting' }).waitFor();
      await axe.look(ada.page, 'new', name);
      await ada.page.keyboard.press('Escape');
      const room = await newMeeting(ada, { title: 'Budget', lobby: true });
      await join(ada, 'Ada');
      const bo = await someone(room, options);
      await knock(bo, 'Bo');
      await axe.look(bo.page, 'waiting', name);
      const outside = ada.page.getByRole('region', { name: 'People waiting outside' });
      await outside.waitFor();
      await axe.look(ada.page, 'lobby_toast', name);
      await outside.getByRole('button', { name: 'Admit' }).click();
      await button(bo, 'Leave the meeting').waitFor({ timeout: 20_000 });
      for (const [view, { from, title }] of Object.entries(PANELS)) {
        await openPanel(ada, from, title, options.viewport !== undefined);
        await axe.look(ada.page, view, name);
        await button(ada, 'Close this panel').click();
      }
      for (const { context } of [ada, bo]) await context.close();
    }
  });

  proves('where there should be one, it does: a button without a name, and grey on grey', {}, async () => {
    const { page } = await someone('/');
    await button({ page }, 'New meeting').waitFor();
    await page.evaluate(() => {
      const foul = document.createElement('button');
      foul.append(document.createElementNS('http://www.w3.org/2000/svg', 'svg'));
      const pale = document.createElement('p');
      pale.textContent = 'Hard to read';
      pale.style.color = '#999';
      pale.style.background = '#aaa';
      document.querySelector('main').append(foul, pale);
    });
    assert.deepEqual((await new Axe().faults(page)).map(({ id }) => id).sort(), ['button-name', 'color-contrast']);
  });
});

describe('with the keyboard alone', () => {
  proves('someone joins, turns the microphone off, looks at the settings and leaves', {}, async () => {
    const room = newRoom();
    const bo = await join(await someone(room), 'Bo');
    const { page } = await someone(room);
    const keys = new Keyboard(page);
    await page.getByLabel('Your name').waitFor();
    await keys.reach('Your name');
    await page.keyboard.type('Ada');
    await keys.reach('Join now');
    await keys.press('Enter');
    await button({ page }, 'Leave the meeting').waitFor({ timeout: 20_000 });
    await people(bo).filter({ hasText: 'Ada' }).waitFor();

    await keys.reach('Turn off microphone');
    await keys.press('Space');
    await people(bo).filter({ hasText: 'Ada' }).getByText('microphone off').waitFor({ state: 'attached' });
    // The button has another name now, and is still where the keys are. Bo may hear of it before Ada's page is drawn anew.
    await button({ page }, 'Turn on microphone').waitFor();
    assert.equal((await keys.here()).name, 'Turn on microphone');

    await keys.reach('Camera and sound settings');
    await keys.press('Enter');
    await page.getByRole('dialog').waitFor();
    await keys.around({ within: 'dialog' });
    await keys.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.equal((await keys.here()).name, 'Camera and sound settings', 'Escape gives the focus back');

    await keys.reach('Leave the meeting');
    await keys.press('Enter');
    await heading({ page }, 'You have left the meeting').waitFor();
    await eventually('Bo alone', async () => (await people(bo).count()) === 1);
    assert.equal((await keys.here()).name, 'You have left the meeting', 'the focus is on what is new');
    await keys.reach('Join again');
    walks.push('call');
  });

  proves('someone admits, raises a hand, writes, asks for a vote and votes', {}, async () => {
    const ada = await someone('/');
    const room = await newMeeting(ada, { title: 'Budget', lobby: true });
    await join(ada, 'Ada');
    const bo = await someone(room);
    await knock(bo, 'Bo');
    const keys = new Keyboard(ada.page);
    await ada.page.getByRole('region', { name: 'People waiting outside' }).waitFor();
    await keys.reach('Admit');
    await keys.press('Enter');
    await button(bo, 'Leave the meeting').waitFor({ timeout: 20_000 });
    await people(ada).filter({ hasText: 'Bo' }).waitFor();
    walks.push('admit');

    await keys.reach('Raise your hand');
    await keys.press('Space');
    await people(bo).filter({ hasText: 'Ada' }).getByText('hand raised').waitFor({ state: 'attached' });
    await button(ada, /^Lower your hand/).waitFor();
    assert.match((await keys.here()).name, /^Lower your hand/, 'the focus stays where the hand is');
    walks.push('hand');

    await keys.reach('Chat');
    await keys.press('Enter');
    await heading(ada, 'Chat').waitFor();
    await keys.reach('Message to all');
    await ada.page.keyboard.type('Good morning');
    await keys.press('Enter');
    await button(bo, /^Chat, /).waitFor();
    await keys.press('Escape');
    await heading(ada, 'Chat').waitFor({ state: 'detached' });
    assert.equal((await keys.here()).name, 'Chat', 'Escape gives the focus back');
    walks.push('chat');

    await keys.reach('More options');
    await keys.press('Enter');
    await keys.reach('Polls');
    await keys.press('Enter');
    await heading(ada, 'Polls').waitFor();
    await keys.reach('New poll');
    await keys.press('Enter');
    await keys.reach('Question');
    await ada.page.keyboard.type('Shall we begin?');
    for (const [label, answer] of [['Answer 1', 'Yes'], ['Answer 2', 'No']]) {
      await keys.reach(label);
      await ada.page.keyboard.type(answer);
    }
    await keys.reach('Start the poll');
    await keys.press('Enter');
    await keys.reach('Yes');
    await keys.press('Space');
    await keys.reach('Vote');
    await keys.press('Enter');
    await ada.page.getByText('You have voted.').waitFor();
    walks.push('poll');
  });

  proves('the start page is walked through in the order of reading, and round again', {}, async () => {
    const { page } = await someone('/');
    await button({ page }, 'New meeting').waitFor();
    const names = await new Keyboard(page).around();
    const at = (name) => names.findIndex((found) => found.startsWith(name));
    const order = ['New meeting', 'Meeting link', 'Join', 'Accessibility', 'Licences of the parts we use'];
    assert.deepEqual(order.filter((name) => at(name) < 0), [], names.join(' → '));
    assert.deepEqual([...order].sort((a, b) => at(a) - at(b)), order);
  });
});

describe('the statement', () => {
  it('says what was found here', async () => {
    const found = { version: axe.version, views: axe.results(), walks: [...walks].sort() };
    if (WRITES) {
      assert.equal(passed, planned, 'results are written of a run in which every test has passed');
      const date = new Date().toISOString().slice(0, 10);
      writeFileSync(RESULTS, `${JSON.stringify({ date, ...found }, null, 2)}\n`);
    }
    const { date, ...said } = JSON.parse(readFileSync(RESULTS, 'utf8'));
    const keys = ({ version, views, walks }) => ({ version, walks, views: views.map(({ view, faults }) => ({ view, faults })) });
    assert.deepEqual(keys(said), keys(found), 'run this suite with PARVIS_ACCESSIBILITY=write and build the client again');
    if (WRITES) return;
    const { page } = await someone('/accessibility');
    await page.getByRole('heading', { name: 'What no machine has checked' }).waitFor();
    const rows = await page.getByRole('row').count();
    assert.equal(rows, said.views.length + 1, 'one row a view, and the head');
    await page.getByText(`Faults found: 0.`).waitFor();
  });
});
