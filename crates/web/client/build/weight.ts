// SPDX-License-Identifier: EUPL-1.2
import { gzipSync } from 'node:zlib';
import type { Plugin, Rolldown } from 'vite';
import { OF_THE_CALL } from './parts.mjs';

/** What may come before the pre-join page can be used: scripts and the language's texts, compressed. */
const FIRST_SCRIPTS_BYTES = 60_000;
/** The same until the first call goes on: page, scripts, styles and texts. `benches/web` counts what a browser really asks for. */
const FIRST_CALL_BYTES = 260_000;

type Bundle = Record<string, Rolldown.OutputChunk | Rolldown.OutputAsset>;

export interface Weight {
  locale: string;
  /** Scripts and texts until the pre-join page. */
  first: number;
  /** All until the first call goes on. */
  call: number;
}

/** Ends a build whose pages have become heavier than people on a slow network should wait for, in any language. */
export function weight(): Plugin {
  return {
    name: 'parvis-weight',
    apply: 'build',
    // Once the list of what each script needs is in them: it is part of what is sent.
    enforce: 'post',
    generateBundle(_, bundle) {
      const heavy = (what: 'first' | 'call', most: number, until: string) => {
        const [heaviest] = weights(bundle).sort((a, b) => b[what] - a[what]);
        if (heaviest === undefined) this.error('no catalogue was found in the build');
        const said = `${heaviest[what]} bytes compressed until ${until}, in the heaviest language (${heaviest.locale})`;
        if (heaviest[what] > most) this.error(`${said}; at most ${most} are allowed`);
        this.info(said);
      };
      heavy('first', FIRST_SCRIPTS_BYTES, 'the pre-join page');
      heavy('call', FIRST_CALL_BYTES, 'the first call');
    },
  };
}

/** What a build weighs in each of its languages. Throws where it is not made of what is counted here. */
export function weights(bundle: Bundle): Weight[] {
  const chunks = Object.values(bundle).filter((file) => file.type === 'chunk');
  const entry = chunks.find((chunk) => chunk.isEntry && chunk.name === 'index');
  if (entry === undefined) throw new Error('the build has no script that the page starts with');
  const holding = (module: string) => {
    const found = chunks.find((chunk) => chunk.moduleIds.some((id) => id.endsWith(`/${module}`)));
    if (found === undefined) throw new Error(`${module} is not in the build`);
    return found;
  };
  const texts = (end: string) =>
    new Map(
      chunks.flatMap((chunk) => {
        const locale = new RegExp(`compiled/messages/(\\w+)${end}\\.js$`).exec(chunk.facadeModuleId ?? '')?.[1];
        return locale === undefined ? [] : [[locale, chunk] as const];
      }),
    );
  const sizes = new Map<string, number>();
  const size = (name: string): number => {
    const file = bundle[name];
    if (file === undefined) throw new Error(`${name} is not in the build`);
    const known = sizes.get(name) ?? gzipSync(file.type === 'chunk' ? file.code : file.source, { level: 9 }).length;
    sizes.set(name, known);
    return known;
  };
  const sum = (names: Iterable<string>) => [...names].reduce((sum, name) => sum + size(name), 0);

  const called = closure(bundle, [entry.fileName, ...OF_THE_CALL.map((module) => holding(module).fileName)]);
  const styles = new Set([...called].flatMap((name) => stylesOf(bundle[name])));
  const page = Object.keys(bundle).filter((name) => name === 'index.html');
  const [door, call] = [texts(''), texts('\\.call')];
  return [...door].map(([locale, first]) => {
    const rest = call.get(locale);
    if (rest === undefined) throw new Error(`the texts of the call are not in the build in ${locale}`);
    const own = [first.fileName, rest.fileName];
    return {
      locale,
      first: sum(closure(bundle, [entry.fileName, first.fileName])),
      call: sum(closure(bundle, [...called, ...own])) + sum(styles) + sum(page),
    };
  });
}

/** These files, and all that they import by themselves. */
function closure(bundle: Bundle, names: readonly string[]): Set<string> {
  const found = new Set<string>();
  const add = (name: string): void => {
    const file = bundle[name];
    if (found.has(name) || file?.type !== 'chunk') return;
    found.add(name);
    file.imports.forEach(add);
  };
  names.forEach(add);
  return found;
}

function stylesOf(file: Bundle[string] | undefined): string[] {
  return file?.type === 'chunk' ? [...(file.viteMetadata?.importedCss ?? [])] : [];
}
