// SPDX-License-Identifier: EUPL-1.2
/** The statement of accessibility is made of what the tests wrote, and says it in words. */
import { expect, test } from 'vitest';
import { VIEWS, WALKS } from '../src/accessibility/names.ts';
import { faultsOf, RESULTS } from '../src/accessibility/results.ts';

test('each view and walk of the results has a name of its own', () => {
  expect(RESULTS.views.filter(({ view }) => !(view in VIEWS))).toEqual([]);
  expect(RESULTS.walks.filter((walk) => !(walk in WALKS))).toEqual([]);
  expect(RESULTS.views.length).toBeGreaterThan(5);
  for (const table of [VIEWS, WALKS]) {
    const names = Object.values(table).map((name) => name());
    expect(new Set(names).size).toBe(names.length);
  }
});

test('the results are those of a machine that looked: rules were applied to every view, and none was broken', () => {
  expect(RESULTS.date).toMatch(/^\d{4}-\d\d-\d\d$/);
  expect(RESULTS.version).toMatch(/^\d+\.\d+\.\d+$/);
  for (const { view, passed } of RESULTS.views) expect(passed, view).toBeGreaterThan(10);
  expect(faultsOf(RESULTS)).toBe(0);
});
