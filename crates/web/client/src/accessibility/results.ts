// SPDX-License-Identifier: EUPL-1.2
/**
 * What the tests of accessibility found, as they wrote it themselves: `results.json` comes from
 * `tests/e2e/suites/accessibility.test.mjs` and is never edited by hand.
 */
import results from './results.json';

export interface ViewResult {
  /** The view's key, as in the statement's table of names. */
  view: string;
  passed: number;
  faults: number;
  /** Rules of which a machine can't decide whether they hold. */
  unsure: number;
}

export interface Results {
  /** The day of the tests, as `2027-03-03`. */
  date: string;
  /** Of axe-core. */
  version: string;
  views: ViewResult[];
  /** The keys of what was done with the keyboard alone. */
  walks: string[];
}

export const RESULTS: Results = results;

export const faultsOf = (found: Results): number => found.views.reduce((sum, view) => sum + view.faults, 0);
