// SPDX-License-Identifier: EUPL-1.2
/** What a page fetches at once, and what later: as its sources say. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a room's page fetches before the call, besides what it begins with: RoomPage.svelte names it, and Lobby.svelte. */
export const OF_THE_CALL = ['src/meeting/call.ts', 'src/pages/Call.svelte', 'src/effects/index.ts', 'src/effects/EffectChoice.svelte'];

/**
 * The keys of the messages that these files show, and all that they import by themselves. What they fetch later is no part of it, and
 * types are nothing at all.
 * @param {string} root @param {readonly string[]} files @returns {Set<string>}
 */
export function keysFrom(root, files) {
  const seen = new Set();
  const keys = new Set();
  const visit = (/** @type {string} */ file) => {
    if (seen.has(file)) return;
    seen.add(file);
    const source = readFileSync(file, 'utf8');
    for (const [, key] of source.matchAll(/\bm\.(\w+)/g)) keys.add(key);
    for (const [, what, path] of source.matchAll(/^\s*(?:import|export) ([^;]*?)from '(\.[^']+\.(?:ts|svelte))'/gm)) {
      if (path !== undefined && !what?.startsWith('type ')) visit(join(file, '..', path));
    }
  };
  for (const file of files) visit(join(root, file));
  return keys;
}
