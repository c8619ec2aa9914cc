// SPDX-License-Identifier: EUPL-1.2
/** What the sources must not contain, whoever writes the next view. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const SRC = new URL('../src', import.meta.url).pathname;
const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.(ts|svelte|css)$/.test(file))
  .map((file) => ({ file, text: readFileSync(join(SRC, file), 'utf8') }));

test('row 46: no view turns a string into markup, and none has an inline style that the policy would refuse', () => {
  expect(files.length).toBeGreaterThan(20);
  for (const { file, text } of files) {
    for (const foul of ['{@html', 'innerHTML', 'outerHTML', 'insertAdjacentHTML', 'document.write', 'eval(', 'new Function']) {
      expect(text.includes(foul), `${file}: ${foul}`).toBe(false);
    }
    expect(/\sstyle="[^{]/.test(text), `${file}: style="…"`).toBe(false);
  }
});

test('row 47: no source names another origin', () => {
  for (const { file, text } of files) {
    // Comments and the shape of a link in a sentence aside.
    const urls = text.match(/https?:\/\/[a-z0-9]/gi) ?? [];
    expect(urls, file).toEqual([]);
  }
});
