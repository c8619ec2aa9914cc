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

/** Packages that say it in a form that npm no longer reads, as somebody has read it in their licence's file. */
const READ: Record<string, string> = { '@jitsi/rnnoise-wasm': 'Apache-2.0' };

/** What a package holds of others without naming them: RNNoise, compiled. */
const WITHIN: Record<string, string> = {
  '@jitsi/rnnoise-wasm': `
RNNoise (BSD-3-Clause)

Copyright (c) 2017, Mozilla
Copyright (c) 2007-2017, Jean-Marc Valin
Copyright (c) 2005-2017, Xiph.Org Foundation
Copyright (c) 2003-2004, Mark Borgerding

Redistribution and use in source and binary forms, with or without modification, are permitted provided that the following conditions are met:

- Redistributions of source code must retain the above copyright notice, this list of conditions and the following disclaimer.

- Redistributions in binary form must reproduce the above copyright notice, this list of conditions and the following disclaimer in the documentation
and/or other materials provided with the distribution.

- Neither the name of the Xiph.Org Foundation nor the names of its contributors may be used to endorse or promote products derived from this software
without specific prior written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE
IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE FOUNDATION OR CONTRIBUTORS BE LIABLE FOR
ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES;
LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT
(INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
`,
};

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
        const licence = entry?.license ?? READ[name];
        if (entry === undefined || licence === undefined || !ACCEPTED.has(licence)) {
          this.error(`${name}: its licence ${licence} is not accepted: see build/licences.ts`);
        }
        return `${name} ${entry.version} (${licence})\n\n${textOf(join(root, path)) ?? licence}${WITHIN[name] ?? ''}`;
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
