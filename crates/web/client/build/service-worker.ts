// SPDX-License-Identifier: EUPL-1.2
/**
 * Makes `sw.js` of `src/pwa/sw.ts`: tells it which files this build has, and under which stamp it keeps them.
 */
import type { Plugin } from 'vite';
import { stampOf } from './stamp.ts';

/** As it stands in the source. */
const PLACE = '__PARVIS_SHELL__';
/** Files that are heavy and of one feature only are left to the browser's own cache. */
const MAX_KEPT_BYTES = 700_000;

export function serviceWorker(): Plugin {
  let root = '';
  return {
    name: 'parvis-service-worker',
    apply: 'build',
    enforce: 'post',
    config: () => ({
      build: {
        rollupOptions: {
          input: { index: 'index.html', sw: 'src/pwa/sw.ts' },
          // At the root: a service worker has power over what lies below it only.
          output: { entryFileNames: ({ name }: { name: string }) => (name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js') },
        },
      },
    }),
    configResolved(config) {
      root = config.root;
    },
    generateBundle(_, bundle) {
      const worker = bundle['sw.js'];
      if (worker?.type !== 'chunk' || !worker.code.includes(PLACE)) this.error(`sw.js: the place of ${PLACE} is gone`);
      if (worker.imports.length > 0) this.error(`sw.js imports ${worker.imports.join()}: browsers load it as a single script`);
      const entry = Object.values(bundle).find((file) => file.type === 'chunk' && file.name === 'index' && file.isEntry);
      if (entry?.type !== 'chunk') this.error('there is no chunk that the page starts with');
      const first = new Set([entry.fileName, ...entry.imports]);
      for (const name of [...first]) {
        const chunk = bundle[name];
        if (chunk?.type === 'chunk') for (const style of chunk.viteMetadata?.importedCss ?? []) first.add(style);
      }
      const small = (name: string) => {
        const file = bundle[name];
        const content = file?.type === 'chunk' ? file.code : (file?.source ?? '');
        return content.length <= MAX_KEPT_BYTES;
      };
      const files = Object.keys(bundle).filter((name) => name.startsWith('assets/') && !name.endsWith('.map') && small(name));
      const path = (name: string) => `/${name}`;
      const shell = { stamp: stampOf(root).slice(0, 16), first: [...first].sort().map(path), files: files.sort().map(path) };
      worker.code = worker.code.replace(PLACE, JSON.stringify(shell));
    },
  };
}
