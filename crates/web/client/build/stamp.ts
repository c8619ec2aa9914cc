// SPDX-License-Identifier: EUPL-1.2
/**
 * Leaves in `dist` a hash of all that decided it. `crates/web/build.rs` computes the same over the sources and warns when
 * the two differ, so that an old client can't be shipped unnoticed.
 */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'vite';

/** The same list as in `crates/web/build.rs`. */
const SOURCES = [
  'build',
  'index.html',
  'messages',
  'package-lock.json',
  'package.json',
  'project.inlang',
  'public',
  'src',
  'svelte.config.js',
  'vite.config.ts',
];

export function stamp(): Plugin {
  let root = '';
  return {
    name: 'parvis-stamp',
    apply: 'build',
    configResolved(config) {
      root = config.root;
    },
    generateBundle() {
      this.emitFile({ type: 'asset', fileName: 'sources.sha256', source: `${stampOf(root)}\n` });
    },
  };
}

export function stampOf(root: string): string {
  const files = SOURCES.flatMap((source) => filesBelow(root, source));
  // By code unit, as Rust sorts: these names are ASCII.
  files.sort((a, b) => (a < b ? -1 : 1));
  return hash(files.map((file) => `${hash(readFileSync(join(root, file)))}  ${file}\n`).join(''));
}

function filesBelow(root: string, path: string): string[] {
  const stat = statSync(join(root, path), { throwIfNoEntry: false });
  if (stat === undefined) return [];
  if (!stat.isDirectory()) return [path];
  return readdirSync(join(root, path)).flatMap((name) => filesBelow(root, `${path}/${name}`));
}

function hash(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
