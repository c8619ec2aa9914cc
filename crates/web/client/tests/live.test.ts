// SPDX-License-Identifier: EUPL-1.2
import { expect, test } from 'vitest';
import { parseRoute } from '../src/link.ts';
import { playlistOf, playsItself, stateOf } from '../src/live.ts';

test('a stream has one path, and its playlist lies below it', () => {
  expect(parseRoute('/live/0123456789abcdef')).toEqual({ page: 'live', key: '0123456789abcdef' });
  expect(parseRoute('/live/0123456789abcdef/')).toEqual({ page: 'live', key: '0123456789abcdef' });
  for (const path of ['/live/', '/live', '/live/a/b', '/live/a b', '/live/%61']) {
    expect(parseRoute(path), path).toEqual({ page: 'unknown' });
  }
  expect(playlistOf('abc')).toBe('/live/abc/index.m3u8');
});

test('what the server answers is what the viewer is told', () => {
  expect([200, 503, 404, 500, 0].map(stateOf)).toEqual(['playing', 'waiting', 'gone', 'failed', 'failed']);
});

test('only Apple’s browsers play it themselves', () => {
  const video = (says: string) => ({ canPlayType: () => says }) as unknown as HTMLVideoElement;
  expect(playsItself(video('maybe'), 'Apple Computer, Inc.')).toBe(true);
  expect(playsItself(video('maybe'), 'Google Inc.')).toBe(false);
  expect(playsItself(video(''), 'Apple Computer, Inc.')).toBe(false);
});
