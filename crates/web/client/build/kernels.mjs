// SPDX-License-Identifier: EUPL-1.2
/**
 * Compiles `src/effects/kernels.as` into `compiled/kernels.wasm` when it has changed since the last time. The compiler is fetched
 * only then: it is large.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = 'src/effects/kernels.as';
/** What the compiled file depends on. */
const FORM = [SOURCE, 'build/kernels.mjs', 'package-lock.json'];
const OPTIONS = ['--optimizeLevel', '3', '--shrinkLevel', '0', '--converge', '--noAssert', '--runtime', 'stub', '--enable', 'simd'];

/** @param {string} root */
function stampOf(root) {
  const hash = createHash('sha256');
  for (const file of FORM) hash.update(readFileSync(join(root, file)));
  return hash.digest('hex');
}

/** Whether the compiled kernels are those of the source. @param {string} root */
function fresh(root) {
  const stamp = join(root, 'compiled/kernels.stamp');
  return existsSync(join(root, 'compiled/kernels.wasm')) && existsSync(stamp) && readFileSync(stamp, 'utf8') === stampOf(root);
}

/** @param {string} root @returns {Promise<void>} */
async function compileKernels(root) {
  const { default: asc } = await import('assemblyscript/asc');
  const source = readFileSync(join(root, SOURCE), 'utf8');
  /** @type {Uint8Array | undefined} */
  let compiled;
  const { error, stderr } = await asc.main(['kernels.ts', '--outFile', 'kernels.wasm', ...OPTIONS], {
    readFile: (/** @type {string} */ name) => (name === 'kernels.ts' ? source : null),
    writeFile: (/** @type {string} */ name, /** @type {Uint8Array | string} */ content) => {
      if (name === 'kernels.wasm' && typeof content !== 'string') compiled = content;
    },
    listFiles: () => [],
  });
  if (error || compiled === undefined) throw new Error(`${SOURCE}: ${error?.message ?? 'nothing was compiled'}\n${stderr.toString()}`);
  mkdirSync(join(root, 'compiled'), { recursive: true });
  put(join(root, 'compiled/kernels.wasm'), compiled);
  put(join(root, 'compiled/kernels.stamp'), stampOf(root));
}

/** In one step, since several programs may build at the same time. @param {string} path @param {string | Uint8Array} content */
function put(path, content) {
  const written = `${path}.${process.pid}`;
  writeFileSync(written, content);
  renameSync(written, path);
}

/** A Vite plugin: whoever builds, tests or tries the client has compiled kernels. @returns {import('vite').Plugin} */
export function kernels() {
  return {
    name: 'parvis-kernels',
    configResolved({ root }) {
      if (fresh(root)) return;
      const { status } = spawnSync(process.execPath, [join(root, 'build/kernels.mjs')], { stdio: 'inherit' });
      if (status !== 0) throw new Error('the kernels could not be compiled: see above');
    },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await compileKernels(fileURLToPath(new URL('..', import.meta.url)));
