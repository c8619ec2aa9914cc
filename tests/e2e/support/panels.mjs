// SPDX-License-Identifier: EUPL-1.2
// What visitors of a meeting press and see around the call: its panels, its list of people, its dialogs.
import { button } from './visitors.mjs';

export const panel = ({ page }) => page.getByRole('complementary');
export const tiles = ({ page }) => page.getByRole('list', { name: 'People in the meeting' }).getByRole('listitem');
export const dialog = ({ page }, name) => page.getByRole('dialog', { name });

/** What a browser notes where the server has refused somebody, and where somebody has gone. */
export const REFUSED = /^console Failed to load resource: the server responded with a status of 403/;
export const CUT_OFF = /^console publisher data channel '.*' closed unexpectedly/;

/** What the browser itself notes of something that a test wants to happen. */
export function expected({ wrongs }, what) {
  const others = wrongs.filter((wrong) => !what.test(wrong));
  wrongs.splice(0, wrongs.length, ...others);
}

/** Types a name and presses Enter, without waiting for the call. */
export async function knock(person, name) {
  await person.page.getByLabel('Your name').fill(name);
  await person.page.keyboard.press('Enter');
}

/** By its button in the bar. */
export async function openPanel(person, name) {
  await button(person, name).first().click();
  await panel(person).getByRole('heading', { level: 2 }).waitFor();
}

/** An entry of what is behind “More”. */
export async function choose(person, entry) {
  await button(person, 'More').last().click();
  await person.page.getByRole('dialog').getByRole('button', { name: entry, exact: true }).click();
}

/** A panel that is behind “More”. */
export async function openFromList(person, entry) {
  await choose(person, entry);
  await panel(person).getByRole('heading', { name: entry, level: 2 }).waitFor();
}
