// SPDX-License-Identifier: EUPL-1.2
// What a test shows of an SDK. `cargo xtask test` makes docs/compatibility.md of it; the rows and the columns are in
// compatibility.json.
import { appendFileSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';

const { tables, absent } = JSON.parse(readFileSync(new URL('../compatibility.json', import.meta.url)));

/** Whether an SDK has a feature at all. */
export const has = (sdk, feature) => !absent.some((each) => each.sdk === sdk && each.features.includes(feature));

function known(sdk, feature) {
  const found = tables.some(({ sdks, features }) => sdks.some(({ key }) => key === sdk) && features.some(({ key }) => key === feature));
  if (!found) throw new Error(`compatibility.json has no ${feature} of ${sdk}`);
  if (!has(sdk, feature)) throw new Error(`${sdk} has no ${feature}, says compatibility.json`);
  return { sdk, feature };
}

function note(line) {
  if (process.env.PARVIS_SHOWN) appendFileSync(process.env.PARVIS_SHOWN, `${JSON.stringify(line)}\n`);
}

/**
 * A test's body that shows these features of these SDKs: `it('…', shows({ python: ['rpc'] }, async () => { … }))`. One
 * that began and didn't end has failed.
 */
export function shows(what, body) {
  const pairs = Object.entries(what).flatMap(([sdk, features]) => features.map((feature) => known(sdk, feature)));
  return async (context) => {
    const test = { suite: basename(process.argv[1]), name: context.fullName, last: context.name };
    note({ ...test, passed: false, pairs });
    await body(context);
    if (!context.signal.aborted) note({ ...test, passed: true, pairs });
  };
}
