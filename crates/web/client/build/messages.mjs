// SPDX-License-Identifier: EUPL-1.2
/**
 * Compiles the catalogues of `messages/` into `compiled/`, one module for each language, when they have changed since the
 * last time. A language is compiled, and so offered, once every area of it has every message that English has: until then
 * it would show English sentences between its own.
 *
 * Run as a program it does that; with `--missing` it lists what each language lacks, with `--missing LOCALE` what that one lacks.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { keysFrom, OF_THE_CALL } from './parts.mjs';

/** @typedef {string | { declarations: string[], selectors?: string[], match: Record<string, string> }[]} Message */
/** @typedef {Record<string, Message>} Catalogue */

export const AREAS = ['base', 'panels', 'stage', 'extras'];

/**
 * What is shown before the call, of areas that are mostly of the call: by the first word of their keys. All else of these areas is in
 * modules of their own, so that the first page is light in every language: one for what the call shows by itself, which its sources
 * tell, and one for what is shown when somebody asks for it.
 */
const AT_THE_DOOR = {
  panels: ['after', 'back', 'cancel', 'close', 'door', 'new', 'wait'],
  stage: ['prejoin'],
  extras: ['e2ee', 'pwa'],
};
/** Of the call, and shown at the door as well. */
const EVERYWHERE = ['stage_close'];

/** Whether a message may be shown before the call's own texts are there. @param {string} area @param {string} key @returns {boolean} */
export function isAtTheDoor(area, key) {
  const words = /** @type {Record<string, string[]>} */ (AT_THE_DOOR)[area];
  return words === undefined || EVERYWHERE.includes(key) || words.includes(key.split('_')[0] ?? '');
}

/** What the compiled files depend on besides the catalogues themselves. */
const FORM = ['build/messages.mjs', 'build/parts.mjs', 'project.inlang/settings.json', 'package-lock.json'];

/** @param {string} root @returns {{ baseLocale: string, locales: string[] }} */
export function languages(root) {
  return JSON.parse(readFileSync(join(root, 'project.inlang/settings.json'), 'utf8'));
}

/** One area's messages in one language; none where nobody has begun. @param {string} root @param {string} area @param {string} locale @returns {Catalogue} */
export function catalogue(root, area, locale) {
  const path = join(root, 'messages', area, `${locale}.json`);
  if (!existsSync(path)) return {};
  try {
    const { $schema: _, ...messages } = JSON.parse(readFileSync(path, 'utf8'));
    return messages;
  } catch (error) {
    throw new Error(`messages/${area}/${locale}.json is not JSON: ${error instanceof Error ? error.message : error}`);
  }
}

/** The messages that English has and the language lacks, as `area: key`. @param {string} root @param {string} locale @returns {string[]} */
export function missing(root, locale) {
  const { baseLocale } = languages(root);
  return AREAS.flatMap((area) => {
    const own = catalogue(root, area, locale);
    return Object.keys(catalogue(root, area, baseLocale)).filter((key) => !(key in own)).map((key) => `${area}: ${key}`);
  });
}

/** Whether the compiled catalogues are those of the sources. @param {string} root @returns {boolean} */
function fresh(root) {
  const stamp = join(root, 'compiled/stamp');
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === stampOf(root);
}

/** @param {string} root @returns {Promise<void>} */
async function compileMessages(root) {
  const out = join(root, 'compiled');
  const stamp = stampOf(root);
  const { baseLocale, locales } = languages(root);
  const offered = locales.filter((locale) => missing(root, locale).length === 0);
  const scratch = mkdtempSync(join(tmpdir(), 'messages-'));
  try {
    const { compile } = await import('@inlang/paraglide-js');
    await compile({
      project: projectIn(scratch, root),
      outdir: scratch,
      cleanOutdir: false,
      outputStructure: 'locale-modules',
      emitGitIgnore: false,
      emitPrettierIgnore: false,
      emitReadme: false,
    });
    mkdirSync(join(out, 'messages'), { recursive: true });
    // The plural and number rules, and one module a language. Nothing else of the compiler's is part of the client.
    put(join(out, 'registry.js'), readFileSync(join(scratch, 'registry.js'), 'utf8'));
    const atTheDoor = new Set(
      AREAS.flatMap((area) => Object.keys(catalogue(root, area, baseLocale)).filter((key) => isAtTheDoor(area, key))),
    );
    const called = keysFrom(root, OF_THE_CALL);
    const partOf = (/** @type {string} */ key) => (atTheDoor.has(key) ? '' : called.has(key) ? '.call' : '.asked');
    for (const locale of offered) {
      const compiled = readFileSync(join(scratch, 'messages', `${locale}.js`), 'utf8');
      for (const part of PARTS) put(join(out, 'messages', `${locale}${part}.js`), only(compiled, (key) => partOf(key) === part));
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  for (const file of readdirSync(join(out, 'messages'))) {
    if (!offered.includes(file.replace(/(\.\w+)?\.js$/, ''))) rmSync(join(out, 'messages', file), { force: true });
  }
  put(join(out, 'catalogues.js'), loaders(offered));
  put(join(out, 'catalogues.d.ts'), types(root, baseLocale));
  put(join(out, 'stamp'), stamp);
}

/** A copy of the project's settings: the compiler writes beside them what no one is to commit. @param {string} scratch @param {string} root */
function projectIn(scratch, root) {
  const project = join(scratch, 'project.inlang');
  mkdirSync(project);
  const settings = readFileSync(join(root, 'project.inlang/settings.json'), 'utf8');
  writeFileSync(join(project, 'settings.json'), settings.replaceAll('"./', `"${root.replaceAll('\\', '/').replace(/\/?$/, '/')}`));
  return project;
}

/** A Vite plugin: whoever builds, tests or tries the client has compiled catalogues. @returns {import('vite').Plugin} */
export function messages() {
  return {
    name: 'parvis-messages',
    configResolved({ root }) {
      if (fresh(root)) return;
      const { status } = spawnSync(process.execPath, [join(root, 'build/messages.mjs')], { stdio: 'inherit' });
      if (status !== 0) throw new Error('the messages could not be compiled: see above');
    },
  };
}

/** The ends of the modules of a language: at the door, of the call, and what is asked for. */
const PARTS = ['', '.call', '.asked'];

/**
 * Some messages of a compiled language.
 * @param {string} compiled @param {(key: string) => boolean} wanted @returns {string}
 */
function only(compiled, wanted) {
  const [head = '', ...messages] = compiled.split(/^(?=export const \w+ = )/m);
  const imports = head.split('\n').filter((line) => line.startsWith('import '));
  return [...imports, ...messages.filter((text) => wanted(/^export const (\w+)/.exec(text)?.[1] ?? ''))].join('\n');
}

/** @param {string[]} offered */
function loaders(offered) {
  const list = (/** @type {string} */ end) =>
    offered.map((locale) => `  '${locale}': () => import('./messages/${locale}${end}.js'),`).join('\n');
  const names = JSON.stringify(namesOf(offered), undefined, 2);
  return `export const catalogues = {\n${list('')}\n};\nexport const ofTheCall = {\n${list('.call')}\n};\nexport const whenAsked = {\n${list('.asked')}\n};\nexport const names = ${names};\n`;
}

/**
 * What each language calls itself, “Français”, in the order of these names. Here rather than in the page: to look up two dozen languages
 * takes a browser tens of milliseconds, which every page would begin with.
 * @param {readonly string[]} locales @returns {Record<string, string>}
 */
export function namesOf(locales) {
  const nameOf = (/** @type {string} */ locale) => {
    const name = new Intl.DisplayNames([locale], { type: 'language' }).of(locale) ?? locale;
    return name.charAt(0).toLocaleUpperCase(locale) + name.slice(1);
  };
  const named = locales.map((locale) => /** @type {const} */ ([locale, nameOf(locale)]));
  return Object.fromEntries(named.sort(([, a], [, b]) => a.localeCompare(b, 'en')));
}

/** @param {string} root @param {string} baseLocale */
function types(root, baseLocale) {
  const lines = AREAS.flatMap((area) => Object.entries(catalogue(root, area, baseLocale))).map(([key, message]) => {
    const inputs = Object.entries(inputsOf(message)).map(([name, type]) => `${name}: ${type}`);
    return `  ${key}(${inputs.length === 0 ? '' : `inputs: { ${inputs.join('; ')} }`}): string;`;
  });
  return [
    '/** Every text of the client, by its key. */',
    `export interface Messages {\n${lines.join('\n')}\n}`,
    '/** The languages that are complete, and how each is fetched. */',
    'export declare const catalogues: Record<string, () => Promise<Partial<Messages>>>;',
    '/** What the call shows by itself, likewise, and what it shows, or another page, when somebody asks for it. */',
    'export declare const ofTheCall: Record<string, () => Promise<Partial<Messages>>>;',
    'export declare const whenAsked: Record<string, () => Promise<Partial<Messages>>>;',
    '/** What each calls itself, in the order of these names. */',
    'export declare const names: Readonly<Record<string, string>>;',
    '',
  ].join('\n');
}

/** What a message is given: a count is a number, all else is text. @param {Message} message @returns {Record<string, string>} */
export function inputsOf(message) {
  const variants = typeof message === 'string' ? [{ declarations: [], match: { '': message } }] : message;
  /** @type {Record<string, string>} */
  const inputs = {};
  const locals = new Set();
  for (const { declarations, match } of variants) {
    for (const declaration of declarations) {
      const input = /^input (\w+)$/.exec(declaration);
      if (input?.[1]) inputs[input[1]] ??= 'string | number';
      const local = /^local (\w+) = (\w+)(?:: (\w+))?/.exec(declaration);
      if (local?.[1] && local[2]) {
        locals.add(local[1]);
        if (local[3] === 'plural' || local[3] === 'number') inputs[local[2]] = 'number';
      }
    }
    for (const text of Object.values(match)) {
      for (const [, name] of text.matchAll(/\{(\w+)\}/g)) if (name && !locals.has(name)) inputs[name] ??= 'string | number';
    }
  }
  return inputs;
}

/** In one step, since several programs may build at the same time. @param {string} path @param {string} text */
function put(path, text) {
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return;
  const written = `${path}.${process.pid}`;
  writeFileSync(written, text);
  renameSync(written, path);
}

/** @param {string} root */
function stampOf(root) {
  const hash = createHash('sha256');
  const { locales } = languages(root);
  const files = [...FORM, ...AREAS.flatMap((area) => locales.map((locale) => `messages/${area}/${locale}.json`))];
  for (const file of files) {
    hash.update(`${file}\n`);
    if (existsSync(join(root, file))) hash.update(readFileSync(join(root, file)));
  }
  hash.update([...keysFrom(root, OF_THE_CALL)].sort().join());
  return hash.digest('hex');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const [option, only] = process.argv.slice(2);
  if (option === '--missing') {
    for (const locale of languages(root).locales) {
      const keys = missing(root, locale);
      if (only === locale) for (const key of keys) console.log(key);
      if (only === undefined) console.log(`${locale}: ${keys.length === 0 ? 'complete' : `${keys.length} missing`}`);
    }
  } else if (!fresh(root)) {
    await compileMessages(root);
    // The compiler leaves a handle open that keeps a program alive for half a minute.
    process.exit(0);
  }
}
