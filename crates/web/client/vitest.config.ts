// SPDX-License-Identifier: EUPL-1.2
import { defineConfig } from 'vitest/config';
import { kernels } from './build/kernels.mjs';
import { messages } from './build/messages.mjs';

export default defineConfig({
  plugins: [messages(), kernels()],
  test: { include: ['tests/**/*.test.ts'], setupFiles: ['tests/setup.ts'] },
});
