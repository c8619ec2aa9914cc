// SPDX-License-Identifier: EUPL-1.2
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';
import { stamp } from './build/stamp.ts';

export default defineConfig({
  plugins: [svelte(), stamp()],
  build: {
    target: 'es2022',
    // Every file is its own request: the page's policy allows data: only for images, and nothing is to be inlined there either.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 600,
  },
});
