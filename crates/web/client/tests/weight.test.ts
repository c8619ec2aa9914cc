// SPDX-License-Identifier: EUPL-1.2
/** What a build says that it weighs: of what is sent until the first call, each file once. */
import { gzipSync } from 'node:zlib';
import type { Rolldown } from 'vite';
import { expect, test } from 'vitest';
import { OF_THE_CALL } from '../build/parts.mjs';
import { weights } from '../build/weight.ts';

type Chunk = Partial<Omit<Rolldown.OutputChunk, 'viteMetadata'>> & { viteMetadata?: { importedCss: Set<string> } };

/** Code that does not pack well, so that each file can be told from the others by its size. */
const code = (seed: number, length: number) => Array.from({ length }, (_, i) => ((seed * 7919 + i * i * 31) % 36).toString(36)).join('');
const size = (text: string) => gzipSync(text, { level: 9 }).length;

function bundle() {
  const files: Record<string, Chunk | { type: 'asset'; source: string }> = {};
  const chunk = (fileName: string, more: Chunk) => {
    files[fileName] = { type: 'chunk', fileName, name: '', isEntry: false, imports: [], moduleIds: [], facadeModuleId: null, code: code(Object.keys(files).length, 400), ...more };
  };
  const asset = (fileName: string) => {
    files[fileName] = { type: 'asset', source: code(90 + Object.keys(files).length, 200) };
  };
  chunk('assets/index.js', { isEntry: true, name: 'index', imports: ['assets/shared.js'], viteMetadata: { importedCss: new Set(['assets/index.css']) } });
  chunk('assets/shared.js', {});
  chunk('sw.js', { isEntry: true, name: 'sw' });
  chunk('assets/Call.js', { moduleIds: OF_THE_CALL.map((module) => `/x/${module}`), imports: ['assets/index.js', 'assets/library.js'], viteMetadata: { importedCss: new Set(['assets/Call.css']) } });
  chunk('assets/library.js', { imports: ['assets/shared.js'] });
  chunk('assets/asked.js', { imports: ['assets/Call.js'], viteMetadata: { importedCss: new Set(['assets/asked.css']) } });
  for (const [locale, length] of [['en', 300], ['el', 900]] as const) {
    for (const part of ['', '.call', '.asked']) {
      chunk(`assets/${locale}${part}.js`, { facadeModuleId: `/x/compiled/messages/${locale}${part}.js`, code: code(length + part.length, length) });
    }
  }
  for (const name of ['assets/index.css', 'assets/Call.css', 'assets/asked.css', 'index.html', 'assets/font.woff2']) asset(name);
  const sum = (...names: string[]) =>
    names.reduce((sum, name) => {
      const file = files[name];
      return sum + size((file?.type === 'asset' ? file.source : file?.code) as string);
    }, 0);
  return { files: files as unknown as Record<string, Rolldown.OutputChunk | Rolldown.OutputAsset>, sum };
}

test('the first page and the first call are added up in each language, without what comes later', () => {
  const { files, sum } = bundle();
  const first = ['assets/index.js', 'assets/shared.js'];
  const call = [...first, 'assets/Call.js', 'assets/library.js', 'assets/index.css', 'assets/Call.css', 'index.html'];
  expect(weights(files)).toEqual(
    ['en', 'el'].map((locale) => ({
      locale,
      first: sum(...first, `assets/${locale}.js`),
      call: sum(...call, `assets/${locale}.js`, `assets/${locale}.call.js`),
    })),
  );
});

test('a build that is not made of what is counted is no build that weighs nothing', () => {
  const lacking = (name: string) => {
    const { files } = bundle();
    delete files[name];
    return () => weights(files);
  };
  expect(lacking('assets/index.js')).toThrow('the build has no script that the page starts with');
  expect(lacking('assets/Call.js')).toThrow(`${OF_THE_CALL[0]} is not in the build`);
  expect(lacking('assets/el.call.js')).toThrow('the texts of the call are not in the build in el');
  expect(lacking('assets/Call.css')).toThrow('assets/Call.css is not in the build');
});
