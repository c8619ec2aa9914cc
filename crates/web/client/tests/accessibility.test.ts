// SPDX-License-Identifier: EUPL-1.2
/** The statement of accessibility is made of what the tests wrote, and says it in words. */
import { expect, test } from 'vitest';
import { VIEWS, WALKS } from '../src/accessibility/names.ts';
import { faultsOf, RESULTS } from '../src/accessibility/results.ts';

test('the results are of every view and walk that has a name, each a name of its own', () => {
  expect(RESULTS.views.map(({ view }) => view).sort()).toEqual(Object.keys(VIEWS).sort());
  expect([...RESULTS.walks].sort()).toEqual(Object.keys(WALKS).sort());
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
