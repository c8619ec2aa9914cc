// SPDX-License-Identifier: EUPL-1.2
import { expect, test } from 'vitest';
import { cleanFileName } from '../src/meeting/filename.ts';
import { pieces } from '../src/meeting/links.ts';
import { cleanText } from '../src/text.ts';

const links = (text: string) => pieces(text).filter((p) => p.href !== undefined).map((p) => [p.text, p.href]);

test('links are found, and what stands around them stays text', () => {
  expect(pieces('see https://example.org/a?b=c#d, please')).toEqual([
    { text: 'see ' },
    { text: 'https://example.org/a?b=c#d', href: 'https://example.org/a?b=c#d' },
    { text: ', please' },
  ]);
  expect(links('(www.example.org/x_(y)) and http://example.org.')).toEqual([
    ['www.example.org/x_(y)', 'https://www.example.org/x_(y)'],
    ['http://example.org', 'http://example.org/'],
  ]);
});

test('nothing but the web’s addresses becomes a link', () => {
  for (const text of [
    'javascript:alert(1)',
    'data:text/html,<script>alert(1)</script>',
    'file:///etc/passwd',
    'https://bank.example@evil.example/',
    'https://',
    'no link at all',
  ]) {
    expect(links(text), text).toEqual([]);
  }
  expect(pieces('<img src=x onerror=alert(1)>').map((p) => p.text).join('')).toBe('<img src=x onerror=alert(1)>');
});

test('pieces put together are the text again, also when there are very many links', () => {
  const text = 'https://example.org/a '.repeat(200);
  const found = pieces(text);
  expect(found.map((p) => p.text).join('')).toBe(text);
  expect(found.filter((p) => p.href !== undefined)).toHaveLength(50);
});

test('a text keeps its lines and loses what is unseen', () => {
  expect(cleanText(' one\r\n  two\u202e three\u0000\n')).toBe('one\n  two  three');
});

test('a file’s name leads nowhere and does not pose as another kind', () => {
  expect(cleanFileName('../../etc/passwd')).toBe('passwd');
  expect(cleanFileName('C:\\Users\\x\\report.pdf')).toBe('report.pdf');
  expect(cleanFileName('photo\u202egpj.exe')).toBe('photo gpj.exe');
  expect(cleanFileName('.bashrc')).toBe('bashrc');
  expect(cleanFileName('a<b>:"c".txt')).toBe('a_b___c_.txt');
  expect(cleanFileName('')).toBe('file');
  const long = cleanFileName(`${'é'.repeat(500)}.tar.gz`);
  expect(Array.from(long)).toHaveLength(120);
  expect(long.endsWith('.gz')).toBe(true);
});
