// SPDX-License-Identifier: EUPL-1.2
/**
 * Puts `licences.txt` beside the pages: the licence of every package whose code is in them, in full, as those licences ask.
 * A licence that is not on the list stops the build: someone has to read it first.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'vite';

/** Compatible with shipping under the EUPL-1.2. */
const ACCEPTED = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'ISC',
  'MIT',
  '(MIT OR Apache-2.0)',
  '(Apache-2.0 AND BSD-3-Clause)',
]);

interface Lock {
  packages: Record<string, { version?: string; license?: string; dev?: boolean; optional?: boolean }>;
}

export function licences(): Plugin {
  let root = '';
  return {
    name: 'parvis-licences',
    apply: 'build',
    configResolved(config) {
      root = config.root;
    },
    generateBundle(_, bundle) {
      const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
      // livekit-client comes with its dependencies already inside: they are in no module list, but in the lock file.
      const shipped = new Set(
        Object.entries(lock.packages)
          .filter(([path, entry]) => path !== '' && !entry.dev && !entry.optional && !path.includes('/@types/'))
          .map(([path]) => path),
      );
      for (const output of Object.values(bundle)) {
        if (output.type !== 'chunk') continue;
        for (const id of output.moduleIds) {
          const match = /node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(id.replaceAll('\\', '/'));
          if (match !== null) shipped.add(match[0]);
        }
      }
      const sections = [...shipped].sort().map((path) => {
        const entry = lock.packages[path];
        const name = path.replace(/^.*node_modules\//, '');
        if (entry?.license === undefined || !ACCEPTED.has(entry.license)) {
          this.error(`${name}: its licence ${entry?.license} is not accepted: see build/licences.ts`);
        }
        return `${name} ${entry.version} (${entry.license})\n\n${textOf(join(root, path)) ?? entry.license}`;
      });
      const intro = 'The pages of Parvis contain code of these packages, under the licences below.\n';
      this.emitFile({
        type: 'asset',
        fileName: 'licences.txt',
        source: [intro, ...sections].join(`\n${'-'.repeat(72)}\n\n`),
      });
    },
  };
}

function textOf(folder: string): string | undefined {
  if (!existsSync(folder)) return undefined;
  const file = readdirSync(folder).sort().find((name) => /^licen[cs]e/i.test(name));
  return file === undefined ? undefined : readFileSync(join(folder, file), 'utf8').trim() + '\n';
}
