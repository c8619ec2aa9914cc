// SPDX-License-Identifier: EUPL-1.2
import { defineConfig } from 'vitest/config';
import { messages } from './build/messages.mjs';

export default defineConfig({
  plugins: [messages()],
  test: { include: ['tests/**/*.test.ts'], setupFiles: ['tests/setup.ts'] },
});
