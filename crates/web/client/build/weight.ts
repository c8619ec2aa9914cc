// SPDX-License-Identifier: EUPL-1.2
import { gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';

/** What may come before the pre-join page can be used: scripts and the language's texts, compressed. */
const FIRST_SCRIPTS_BYTES = 60_000;

/** Ends a build whose first page has become heavier than people on a slow network should wait for, in any language. */
export function weight(): Plugin {
  return {
    name: 'parvis-weight',
    apply: 'build',
    generateBundle(_, bundle) {
      const chunks = Object.values(bundle).filter((file) => file.type === 'chunk');
      const size = (code: string) => gzipSync(code, { level: 9 }).length;
      const counted = new Set<string>();
      const count = (name: string): number => {
        const chunk = chunks.find((chunk) => chunk.fileName === name);
        if (chunk === undefined || counted.has(name)) return 0;
        counted.add(name);
        return size(chunk.code) + chunk.imports.reduce((sum, next) => sum + count(next), 0);
      };
      const page = chunks.filter((chunk) => chunk.isEntry && chunk.fileName !== 'sw.js').reduce((sum, chunk) => sum + count(chunk.fileName), 0);
      const texts = chunks
        .map((chunk) => ({ locale: /compiled\/messages\/(\w+)\.js$/.exec(chunk.facadeModuleId ?? '')?.[1], bytes: size(chunk.code) }))
        .filter(({ locale }) => locale !== undefined)
        .sort((a, b) => b.bytes - a.bytes);
      const [heaviest] = texts;
      if (page === 0 || heaviest === undefined) this.error('the first page or the catalogues were not found in the build');
      const total = page + heaviest.bytes;
      const said = `${total} bytes compressed until the pre-join page: ${page} of scripts, ${heaviest.bytes} of texts (${heaviest.locale}, the most)`;
      if (total > FIRST_SCRIPTS_BYTES) this.error(`${said}; at most ${FIRST_SCRIPTS_BYTES} are allowed`);
      this.info(said);
    },
  };
}
