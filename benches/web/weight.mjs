// SPDX-License-Identifier: EUPL-1.2
// What the client weighs on its way to a browser: compressed by gzip, as the server sends it.
import { get } from 'node:http';

/** The bytes of a file as they are sent to whoever takes gzip. */
export async function sent(server, path) {
  const response = await new Promise((done, failed) => get(server.url + path, { headers: { 'accept-encoding': 'gzip' } }, done).on('error', failed));
  let bytes = 0;
  const parts = [];
  for await (const part of response) {
    bytes += part.length;
    parts.push(part);
  }
  if (response.statusCode !== 200) throw new Error(`${path}: ${response.statusCode}`);
  return { bytes, packed: response.headers['content-encoding'] === 'gzip', text: () => Buffer.concat(parts).toString() };
}

/** The text of a file, unpacked. */
const text = async (server, path) => (await fetch(server.url + path)).text();

/** The scripts that a page runs before anything of it is there: those that it names, and all that these import by themselves. */
export async function firstScripts(server, page) {
  const html = await text(server, page);
  const named = [...html.matchAll(/(?:src|href)="(\/assets\/[^"]+\.js)"/g)].map(([, path]) => path);
  if (named.length === 0) throw new Error(`${page} names no script: the client is not built into this server`);
  const found = new Set();
  const follow = async (path) => {
    if (found.has(path)) return;
    found.add(path);
    const imports = (await text(server, path)).matchAll(/(?:^|[;}\s])(?:import|export)(?:[^'"();]*?from)?\s*["']\.\/([\w.-]+\.js)["']/g);
    for (const [, name] of imports) await follow(`/assets/${name}`);
  };
  for (const path of named) await follow(path);
  return [...found];
}

/** The two catalogues of each language, `fr-x.js` and `fr.call-x.js`, which the first scripts name to fetch one of them. */
export async function catalogues(server, scripts) {
  const named = new Set();
  for (const path of scripts) for (const [name] of (await text(server, path)).matchAll(/\b[a-z]{2}(?:\.call)?-[\w-]{8}\.js\b/g)) named.add(name);
  const files = [...named];
  const all = new Map();
  for (const file of files) {
    const language = /^([a-z]{2})\.call-[\w-]+\.js$/.exec(file)?.[1];
    if (language === undefined) continue;
    const first = files.filter((each) => new RegExp(`^${language}-[\\w-]{8}\\.js$`).test(each));
    if (first.length !== 1) throw new Error(`the first texts of ${language} are not one file: ${first}`);
    all.set(language, { first: `/assets/${first[0]}`, call: `/assets/${file}` });
  }
  return all;
}

/**
 * For each language: what is sent of scripts until the page before the call can be used, and of everything until the first call
 * goes on. `fetched` is what a browser asked for in the language `spoken`, until it saw somebody.
 */
export async function weigh({ server, page, fetched, spoken }) {
  const first = await firstScripts(server, page);
  const texts = await catalogues(server, first);
  const own = texts.get(spoken);
  if (own === undefined) throw new Error(`no texts in ${spoken} are named by ${first}`);
  const sizes = new Map();
  const sum = async (paths) => {
    let bytes = 0;
    for (const path of paths) {
      if (!sizes.has(path)) sizes.set(path, (await sent(server, path)).bytes);
      bytes += sizes.get(path);
    }
    return bytes;
  };
  for (const path of [...first, own.first, own.call]) {
    if (!fetched.includes(path)) throw new Error(`no browser asked for ${path}, which is taken to be needed`);
  }
  const common = fetched.filter((path) => path !== own.first && path !== own.call);
  const languages = [];
  for (const [language, { first: one, call: other }] of texts) {
    languages.push({ language, first: await sum([...first, one]), call: await sum([...common, one, other]) });
  }
  const parts = [];
  for (const path of fetched) parts.push({ path, bytes: await sum([path]), first: first.includes(path) || path === own.first });
  return { languages, parts };
}
