// SPDX-License-Identifier: EUPL-1.2
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';
import { kernels } from './build/kernels.mjs';
import { licences } from './build/licences.ts';
import { messages } from './build/messages.mjs';
import { serviceWorker } from './build/service-worker.ts';
import { stamp } from './build/stamp.ts';
import { weight } from './build/weight.ts';

export default defineConfig({
  plugins: [messages(), kernels(), svelte(), licences(), stamp(), serviceWorker(), weight()],
  // `npm run dev`: the pages from here, the server's part from a `parvis serve --dev` beside it.
  // The views alone, with made-up people, are at /story/index.html. Neither is part of a build.
  server: {
    proxy: {
      '/api': 'http://127.0.0.1:7880',
      '/rtc': { target: 'http://127.0.0.1:7880', ws: true },
    },
  },
  // The worker that encrypts imports the library's own: a module, as the page's scripts are.
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    // Every file is its own request: the page's policy allows data: only for images, and nothing is to be inlined there either.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 600,
    rolldownOptions: {
      output: {
        // All that the first page runs is one file and one style sheet: each request more is felt by a slow device.
        codeSplitting: { groups: [{ name: 'first', tags: ['$initial'], test: (id: string) => !id.endsWith('/src/pwa/sw.ts') }] },
      },
    },
  },
});
