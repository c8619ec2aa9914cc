// SPDX-License-Identifier: EUPL-1.2
// A publisher in Chromium for the measurement of quality under loss: `loss.mjs URL TOKEN`. Lines on its standard input,
// `on` and `off`, are answered by a line of JSON each; it ends with its input.
import { createInterface } from 'node:readline';
import { closeBrowsers, open, servePage } from '../support/browsers.mjs';

const [url, token] = process.argv.slice(2);
const tell = (what) => console.log(JSON.stringify(what));

const page = await servePage('page/loss.js');
try {
  const publisher = await open('chromium', page.url);
  await publisher.ask('publish', { url, token });
  tell({ ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    tell({ on: line === 'on', ...(await publisher.ask(line)) });
  }
} finally {
  await closeBrowsers();
  page.close();
}
