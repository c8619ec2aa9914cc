// SPDX-License-Identifier: EUPL-1.2
import { expect, test } from 'vitest';
import { cleanName, initials, MAX_NAME_LENGTH, toneOf } from '../src/text.ts';

test('row 46: a name keeps its letters and loses what would break out of it', () => {
  expect(cleanName('  Ada \n Lovelace\t')).toBe('Ada Lovelace');
  // Right-to-left override, isolates, zero width, byte order mark, NUL, line separator.
  expect(cleanName('Ada\u202egnp.exe\u2066x\u2069\u200b\ufeff\u0000\u2028y')).toBe('Ada gnp.exe x y');
  expect(cleanName('<img src=x onerror=alert(1)>')).toBe('<img src=x onerror=alert(1)>');
  expect(cleanName('رياض 👩🏽‍🚀')).toContain('رياض');
  expect(cleanName('\u202e\u0000')).toBe('');
});

test('a long name is cut between characters', () => {
  const clean = cleanName('🦔'.repeat(500));
  expect(Array.from(clean)).toHaveLength(MAX_NAME_LENGTH);
  expect(clean).not.toContain('\ufffd');
});

test('initials are the first letters of the first and the last word', () => {
  expect(initials('Ada Lovelace')).toBe('AL');
  expect(initials('maria gaetana agnesi')).toBe('MA');
  expect(initials('Émile')).toBe('É');
  expect(initials('(chair) Jo')).toBe('CJ');
  expect(initials('!? …')).toBe('');
});

test('a person keeps their colour, and people differ', () => {
  expect(toneOf('person-1', 8)).toBe(toneOf('person-1', 8));
  const tones = new Set(Array.from({ length: 60 }, (_, i) => toneOf(`person-${i}`, 8)));
  expect([...tones].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});
