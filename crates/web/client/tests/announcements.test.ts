// SPDX-License-Identifier: EUPL-1.2
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Announcements, GATHER_MS } from '../src/room/announcements.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const people = (...names: string[]) => [
  { identity: 'me', name: 'Me', isLocal: true },
  ...names.map((name) => ({ identity: name, name, isLocal: false })),
];

function heard() {
  const announcements = new Announcements();
  const sentences: string[] = [];
  announcements.subscribe((sentence) => sentence !== '' && sentences.push(sentence));
  const step = (...names: string[]) => {
    announcements.observe(people(...names));
    vi.advanceTimersByTime(GATHER_MS);
  };
  return { announcements, sentences, step };
}

test('whoever was there before is not news, and oneself never is', () => {
  const { sentences, step } = heard();
  step('Ada');
  expect(sentences).toEqual([]);
  step('Ada', 'Grace');
  step('Grace');
  expect(sentences).toEqual(['Grace joined.', 'Ada left.']);
});

test('arrivals of one moment are one sentence', () => {
  const { announcements, sentences, step } = heard();
  step();
  announcements.observe(people('Ada'));
  announcements.observe(people('Ada', 'Grace'));
  vi.advanceTimersByTime(GATHER_MS);
  expect(sentences).toEqual(['Ada and Grace joined.']);
  step('Ada', 'Grace', 'a', 'b', 'c', 'd');
  expect(sentences.at(-1)).toBe('4 people joined.');
});

test('someone who is gone for less than a moment has not left', () => {
  const { announcements, sentences, step } = heard();
  step('Ada', 'Grace');
  announcements.observe(people('Ada'));
  announcements.observe(people('Ada', 'Grace'));
  vi.advanceTimersByTime(GATHER_MS);
  expect(sentences).toEqual([]);
});

test('the same words twice are said twice', () => {
  const { announcements, sentences } = heard();
  announcements.say('Link copied');
  announcements.say('Link copied');
  expect(sentences).toEqual(['Link copied', 'Link copied']);
});
