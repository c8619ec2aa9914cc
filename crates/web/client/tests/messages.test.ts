// SPDX-License-Identifier: EUPL-1.2
/** The catalogues of every language: whole, used, and written as the language is. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { AREAS, catalogue, isAtTheDoor, languages, missing, namesOf, type Message } from '../build/messages.mjs';
import { keysFrom, OF_THE_CALL } from '../build/parts.mjs';
import * as compiled from '../compiled/catalogues.js';
import { LOCALES, nameOf } from '../src/messages/locales.ts';
import { SAME_AS_ENGLISH } from './same-as-english.ts';

const ROOT = new URL('..', import.meta.url).pathname;
const { baseLocale, locales } = languages(ROOT);
const others = locales.filter((locale) => locale !== baseLocale);
const english = new Map(AREAS.flatMap((area) => Object.entries(catalogue(ROOT, area, baseLocale))));

interface Text {
  key: string;
  /** The plural category that it is for, where the message counts. */
  category: string | undefined;
  text: string;
}

function textsOf(key: string, message: Message): Text[] {
  if (typeof message === 'string') return [{ key, category: undefined, text: message }];
  return message.flatMap(({ match }) =>
    Object.entries(match).map(([selector, text]) => ({ key, category: selector.replace(/^\w+=/, ''), text })),
  );
}

const entriesOf = (locale: string) => AREAS.flatMap((area) => Object.entries(catalogue(ROOT, area, locale)));
const allTexts = (locale: string) => entriesOf(locale).flatMap(([key, message]) => textsOf(key, message));
const placeholders = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? '').sort();

/** The counts from 0 to 1000 that take this category. */
function countsOf(locale: string, category: string): number {
  const rules = new Intl.PluralRules(locale);
  return Array.from({ length: 1001 }, (_, n) => n).filter((n) => rules.select(n) === category).length;
}

/** What a sentence may end with in place of the English sign, by language. */
const QUESTION: Record<string, string> = { el: ';' };
/** The quotation marks and apostrophes of each language. */
const QUOTES: Record<string, string> = {
  bg: '„“', cs: '„“', da: '“”»«’', de: '„“’', el: '«»’', en: '“”’', es: '«»', et: '„“”', fi: '”’', fr: '«»’', ga: '“”’', hr: '„”',
  hu: '„”', it: '«»’', lt: '„“', lv: '“”„', mt: '“”’', nl: '“”‘’', pl: '„”', pt: '“”', ro: '„”', sk: '„“', sl: '„“', sv: '”’',
};

test('the languages are the 24 official ones of the Union', () => {
  expect([...locales].sort().join(' ')).toBe('bg cs da de el en es et fi fr ga hr hu it lt lv mt nl pl pt ro sk sl sv');
});

test('what is shown before the call needs no text of the call', () => {
  const seen = new Set<string>();
  const calls: string[] = [];
  const visit = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    const source = readFileSync(file, 'utf8');
    for (const [, key] of source.matchAll(/\bm\.(\w+)/g)) {
      const area = AREAS.find((area) => key !== undefined && key in catalogue(ROOT, area, baseLocale));
      if (key !== undefined && area !== undefined && !isAtTheDoor(area, key)) calls.push(`${key} in ${file.slice(ROOT.length)}`);
    }
    for (const [, view] of source.matchAll(/\bimport\('([^']+\.svelte)'\)/g)) {
      const texts = OF_THE_CALL.some((each) => join(ROOT, each) === join(file, '..', view ?? '')) ? 'callTexts' : 'allTexts';
      expect(source, `${view} comes with its texts`).toMatch(new RegExp(`import\\('${view?.replaceAll('.', '\\.')}'\\), ${texts}\\(\\)`));
    }
    // What is fetched later is no part of it, and types are nothing at all.
    for (const [, what, path] of source.matchAll(/^\s*(?:import|export) ([^;]*?)from '(\.[^']+\.(?:ts|svelte))'/gm)) {
      if (what?.startsWith('type ') || path === undefined) continue;
      visit(join(file, '..', path));
    }
  };
  visit(join(ROOT, 'src/main.ts'));
  expect([...seen].some((file) => file.endsWith('pages/Lobby.svelte')), 'the walk came as far as the pre-join page').toBe(true);
  expect(calls).toEqual([]);
});

test('the call comes with the texts that it shows by itself, and without those that somebody asks for', async () => {
  const shown = keysFrom(ROOT, OF_THE_CALL);
  const [door, call, asked] = await Promise.all([compiled.catalogues, compiled.ofTheCall, compiled.whenAsked].map((part) => part.en?.()));
  const lacking = [...shown].filter((key) => english.has(key) && !(key in { ...door, ...call }));
  expect(lacking).toEqual([]);
  // A message of each kind, so that neither is empty and nothing is in two places.
  expect([shown.has('stage_fullscreen'), 'stage_fullscreen' in { ...call }, 'chat_empty' in { ...asked }]).toEqual([true, true, true]);
  expect(Object.keys({ ...door, ...call, ...asked }).sort()).toEqual([...english.keys()].sort());
  expect([door, call, asked].reduce((sum, part) => sum + Object.keys({ ...part }).length, 0)).toBe(english.size);
});

test('each language has its own name, and they are in the order of these', () => {
  expect(nameOf('fr')).toBe('Français');
  expect(LOCALES).toEqual(Object.keys(namesOf(locales)));
  expect(LOCALES.slice(0, 3).map(nameOf)).toEqual(['Čeština', 'Dansk', 'Deutsch']);
  expect([...LOCALES].sort()).toEqual([...locales].sort());
});

test('every message is used by a view, and has one home', () => {
  const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(ts|svelte)$/.test(file))
    .map((file) => readFileSync(join(ROOT, 'src', file), 'utf8'))
    .join('\n');
  const unused = [...english.keys()].filter((key) => !new RegExp(`\\bm\\.${key}\\b`).test(sources));
  expect(unused).toEqual([]);
  const keys = entriesOf(baseLocale).map(([key]) => key);
  expect(keys.filter((key, at) => keys.indexOf(key) !== at)).toEqual([]);
});

test.each(others)('%s lacks no message, and has none that English has not', (locale) => {
  expect(missing(ROOT, locale)).toEqual([]);
  for (const area of AREAS) {
    const known = catalogue(ROOT, area, baseLocale);
    expect(Object.keys(catalogue(ROOT, area, locale)).filter((key) => !(key in known)), area).toEqual([]);
  }
});

describe.each(locales)('%s', (locale) => {
  test('has one text for each number that the language tells apart', () => {
    const categories = [...new Intl.PluralRules(locale).resolvedOptions().pluralCategories].sort();
    for (const [key, message] of entriesOf(locale)) {
      const original = english.get(key);
      expect(typeof message, key).toBe(typeof original);
      if (typeof message === 'string' || typeof original === 'string') continue;
      expect(message.map((part) => part.declarations), key).toEqual(original?.map((part) => part.declarations));
      expect(textsOf(key, message).map(({ category }) => category).sort(), key).toEqual(categories);
    }
  });

  test('fills in what English fills in, and leaves a number out only where it can be no other', () => {
    const wrong: string[] = [];
    for (const { key, category, text } of allTexts(locale)) {
      const original = english.get(key);
      if (original === undefined) continue;
      const wanted = placeholders(textsOf(key, original).at(-1)?.text ?? '');
      const got = placeholders(text);
      const single = category !== undefined && countsOf(locale, category) === 1;
      const expected = single ? wanted.filter((name) => !['shown', 'count'].includes(name) || got.includes(name)) : wanted;
      if (got.join() !== expected.join()) wrong.push(`${key} ${category ?? ''}: ${text}`);
    }
    expect(wrong).toEqual([]);
  });

  test('is set as the language is set', () => {
    const wrong: string[] = [];
    for (const { key, text } of allTexts(locale)) {
      const say = (what: string) => wrong.push(`${key}: ${what}: ${text}`);
      if (text.trim() === '' || text.trim() !== text || /\s{2}/.test(text)) say('empty, or spaces too many');
      if (/['"`]|\.\.\./.test(text)) say('straight quotes or three full stops');
      const foreign = [...text].filter((sign) => '“”„‘’«»‹›'.includes(sign) && !(QUOTES[locale] ?? '').includes(sign));
      if (foreign.length > 0) say(`quotes of another language (${foreign.join('')})`);
      if (locale === 'fr') {
        if (/[^\u00a0\u202f][;?!»]/.test(text) || /[^\u00a0\u202f]:(?!\/\/)/.test(text)) say('no narrow space before : ; ? ! »');
        if (/«[^\u00a0\u202f]/.test(text)) say('no narrow space after «');
      }
    }
    expect(wrong).toEqual([]);
  });

  test('asks where English asks, and ends a sentence where English does', () => {
    const end = (text: string, question: string) =>
      text.endsWith(question) ? '?' : /[.…:!]$/.test(text) ? text.slice(-1).replace('!', '.') : '';
    const wrong: string[] = [];
    for (const { key, text } of allTexts(locale)) {
      const original = english.get(key);
      if (original === undefined) continue;
      const expected = end(textsOf(key, original).at(-1)?.text ?? '', '?');
      if (end(text, QUESTION[locale] ?? '?') !== expected) wrong.push(`${key}: ${text}`);
    }
    expect(wrong).toEqual([]);
  });
});

test.each(others)('%s is the same as English nowhere by neglect', (locale) => {
  const forgotten: string[] = [];
  for (const [key, message] of entriesOf(locale)) {
    const original = english.get(key);
    if (JSON.stringify(message) !== JSON.stringify(original)) continue;
    if (!(SAME_AS_ENGLISH[locale] ?? []).includes(key)) forgotten.push(`${key}: ${JSON.stringify(message)}`);
  }
  expect(forgotten).toEqual([]);
  // The list itself is not to outlive its reasons.
  const kept = (SAME_AS_ENGLISH[locale] ?? []).filter((key) => JSON.stringify(catalogueText(locale, key)) !== JSON.stringify(english.get(key)));
  expect(kept).toEqual([]);
});

function catalogueText(locale: string, key: string): Message | undefined {
  return entriesOf(locale).find(([name]) => name === key)?.[1];
}
