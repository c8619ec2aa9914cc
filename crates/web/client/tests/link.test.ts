// SPDX-License-Identifier: EUPL-1.2
import { expect, test } from 'vitest';
import { fragmentOfInput, newRoomName, parseRoute, pathOfRoom, roomOfInput } from '../src/link.ts';
import { shareLink } from '../src/pages/invite.ts';

const ORIGIN = 'https://meet.example.org';

test('a new room has 130 random bits in its name', () => {
  const names = new Set(Array.from({ length: 200 }, () => newRoomName()));
  expect(names.size).toBe(200);
  for (const name of names) expect(name).toMatch(/^[0-9a-hjkmnp-tv-z]{26}$/);
  // Each byte decides one letter, and all 32 letters occur.
  const counting = newRoomName((bytes) => bytes.forEach((_, i) => (bytes[i] = i)));
  expect(new Set(counting).size).toBe(26);
  const letters = new Set([...names].join(''));
  expect(letters.size).toBe(32);
});

test('a room has one path, there and back', () => {
  expect(parseRoute(pathOfRoom('7k2m9xqf'))).toEqual({ page: 'room', room: '7k2m9xqf' });
  expect(parseRoute(pathOfRoom('été & co'))).toEqual({ page: 'room', room: 'été & co' });
  expect(parseRoute('/')).toEqual({ page: 'home' });
  for (const path of ['/r/', '/r/a/b', '/x', '/r/%zz', `/r/${'a'.repeat(257)}`]) {
    expect(parseRoute(path), path).toEqual({ page: 'unknown' });
  }
});

test('what people paste leads to the room', () => {
  for (const input of [
    'https://meet.example.org/r/abc123',
    '  https://meet.example.org/r/abc123/  ',
    'https://meet.example.org/r/abc123?x=1#k',
    'meet.example.org/r/abc123',
    '/r/abc123',
    'abc123',
  ]) {
    expect(roomOfInput(input, ORIGIN), input).toBe('abc123');
  }
});

test('what is no link of this server is told apart from what is no link', () => {
  expect(roomOfInput('https://other.example.org/r/abc', ORIGIN)).toBe('elsewhere');
  for (const input of ['', '  ', 'hello there', 'https://', 'javascript:alert(1)', 'https://meet.example.org/', '/x/abc']) {
    expect(roomOfInput(input, ORIGIN), input).toBeUndefined();
  }
});

test('what stands behind the path of an encrypted meeting’s link goes along, and decides nothing else', () => {
  const link = `${ORIGIN}/r/abc#k=KEY`;
  for (const input of [link, 'meet.example.org/r/abc#k=KEY', '/r/abc?x=1#k=KEY']) {
    expect(roomOfInput(input, ORIGIN), input).toBe('abc');
    expect(fragmentOfInput(input), input).toBe('#k=KEY');
  }
  expect(fragmentOfInput('abc')).toBe('');
  expect(fragmentOfInput(` ${link} and more`)).toBe('#k=KEY');
  expect(shareLink({ origin: ORIGIN, pathname: '/r/abc', hash: '#k=KEY' })).toBe(link);
});
