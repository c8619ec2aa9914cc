// SPDX-License-Identifier: EUPL-1.2
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { SharedFile } from '../src/meeting/files.ts';
import type { Role } from '../src/meeting/protocol.ts';
import { type ChatEntry, MEETING_INITIAL, type MeetingState, type Said } from '../src/meeting/state.ts';
import { attended } from '../src/panels/attended.ts';
import { calendarFile, fieldOf, mailLink, nextHour } from '../src/panels/invitation.ts';
import { GATHER_MS, News, newsOf } from '../src/panels/news.ts';
import { handPlaces, nameOf, remember, rows, SEEN_AT_MOST } from '../src/panels/roster.ts';
import { csv } from '../src/panels/save.ts';
import { spread } from '../src/panels/spread.ts';
import { timeline } from '../src/panels/timeline.ts';
import { windowOf } from '../src/panels/window.ts';
import { toastWords } from '../src/panels/words.ts';
import type { Person } from '../src/room/state.ts';

const person = (identity: string, name = identity, more: Partial<Person> = {}): Person =>
  ({ identity, name, isLocal: false, speaking: false, muted: true, connection: 'good', camera: undefined, ...more }) as Person;

const meeting = (change: Partial<MeetingState> = {}): MeetingState => ({
  ...MEETING_INITIAL,
  ready: true,
  you: { ...MEETING_INITIAL.you, identity: 'me' },
  ...change,
});

const message = (id: number, from: string, text: string, at_ms = id * 1000, more: Partial<ChatEntry> = {}): ChatEntry => ({
  id,
  from,
  name: from.toUpperCase(),
  at_ms,
  text,
  ...more,
});

test('people are listed by raised hand, then oneself, then those who conduct, then by name', () => {
  const people = [person('z', 'Zoé'), person('e', 'Émile'), person('f', 'Fay'), person('me', 'Me', { isLocal: true }), person('o', 'Olga'), person('m', 'Mo')];
  const state = meeting({
    members: { ...MEETING_INITIAL.members, roles: new Map<string, Role>([['o', 'owner'], ['m', 'moderator']]), spotlight: ['f'] },
    hands: [{ identity: 'z', name: 'z', since_ms: 1 }, { identity: 'f', name: 'f', since_ms: 2 }],
  });
  expect(rows(people, state, 'Guest').map((r) => r.identity)).toEqual(['z', 'f', 'me', 'o', 'm', 'e']);
  expect(rows(people, state, 'Guest')[1]).toMatchObject({ hand: 2, spotlit: true, role: 'speaker' });
  expect(rows(people, state, 'Guest', ' emi ').map((r) => r.name)).toEqual(['Émile']);
  expect(rows([person('x', '')], meeting(), 'Guest')[0]?.name).toBe('Guest');
  const called = meeting({ hands: [{ identity: 'v', name: 'Vera', since_ms: 1 }] });
  expect(rows(people, called, 'Guest')[0]).toMatchObject({ identity: 'v', name: 'Vera', hand: 1, camera: false, role: 'viewer' });
  expect(handPlaces(state.hands)).toEqual(new Map([['z', 1], ['f', 2]]));
});

test('a list of a thousand has some twenty rows in the page, whatever is scrolled', () => {
  expect(windowOf(1000, 60, 0, 600)).toEqual({ from: 0, to: 16 });
  expect(windowOf(1000, 60, 30_000, 600)).toEqual({ from: 494, to: 516 });
  expect(windowOf(1000, 60, 59_400, 600)).toEqual({ from: 984, to: 1000 });
  expect(windowOf(3, 60, 6_000, 600)).toEqual({ from: 2, to: 3 });
  expect(windowOf(0, 60, 0, 600)).toEqual({ from: 0, to: 0 });
  expect(windowOf(10, 0, 0, 0)).toEqual({ from: 0, to: 0 });
});

test('messages and files stand in the order in which they came; what one says in a row has one heading', () => {
  const file = (id: string, at_ms: number) => ({ id, at_ms }) as SharedFile;
  const chat = [message(1, 'a', 'x', 1_000), message(2, 'a', 'y', 2_000), message(3, 'b', 'z', 3_000), message(4, 'b', 'w', 400_000)];
  const found = timeline(chat, [file('f', 1_500), file('g', 500_000)]);
  expect(found.map((e) => e.key)).toEqual(['message 1', 'file f', 'message 2', 'message 3', 'message 4', 'file g']);
  expect(timeline(chat, []).map((e) => 'message' in e && e.joined)).toEqual([false, true, false, false]);
  expect(timeline([message(1, 'a', 'x'), message(2, 'a', 'y', 2_000, { to: 'me' })], []).map((e) => 'message' in e && e.joined)).toEqual([false, false]);
});

test('news are said in words, and not what this person did', () => {
  const name = (identity: string) => ({ ada: 'Ada', bo: 'Bo' })[identity] ?? identity;
  const before = meeting();
  expect(newsOf(before, meeting({ chat: [message(1, 'ada', 'hello')] }), name)).toEqual(['ADA: hello']);
  expect(newsOf(before, meeting({ chat: [message(1, 'ada', 'psst', 1, { to: 'me' })] }), name)).toEqual(['ADA, only to you: psst']);
  expect(newsOf(before, meeting({ chat: [message(1, 'me', 'mine')] }), name)).toEqual([]);
  expect(newsOf(before, meeting({ chat: [message(1, 'ada', 'x'.repeat(300))] }), name)).toEqual(['ADA wrote a message.']);
  expect(newsOf(before, meeting({ chat: [message(1, 'ada', '', 1, { unreadable: true })] }), name)).toEqual(['ADA wrote a message.']);
  expect(newsOf(before, meeting({ chat: [1, 2, 3].map((id) => message(id, 'ada', 'x')) }), name)).toEqual(['3 new messages.']);
  expect(newsOf(before, meeting({ hands: [{ identity: 'me', name: 'me', since_ms: 1 }] }), name)).toEqual([]);
  expect(newsOf(before, meeting({ hands: [{ identity: 'bo', name: 'bo', since_ms: 1 }] }), name)).toEqual(['bo raised a hand.']);
  expect(newsOf(before, meeting({ lobby: [{ id: '1', name: 'Cem', since_ms: 1 }] }), name)).toEqual(['Cem is waiting to come in.']);
  const poll = { id: 1, question: 'Tea?', options: ['yes', 'no'], secret: false, multiple: false, open: true, counts: undefined, votes: undefined, names: undefined, mine: undefined, voted: 0, by: 'ada' };
  expect(newsOf(before, meeting({ polls: [poll] }), name)).toEqual(['New poll: Tea?']);
  expect(newsOf(meeting({ polls: [poll] }), meeting({ polls: [{ ...poll, open: false }] }), name)).toEqual(['The poll is closed: Tea?']);
  expect(newsOf(before, meeting({ toasts: [{ kind: 'muted', source: 'microphone', by: 'ada', key: 1 }] }), name)).toEqual(['Ada turned off your microphone.']);
});

test('every toast has words of its own', () => {
  const all: Said[] = [
    ...(['microphone', 'camera', 'screen'] as const).flatMap((source): Said[] => [{ kind: 'muted', source, by: 'a' }, { kind: 'unmute_asked', source, by: 'a' }]),
    { kind: 'called', by: 'a' },
    { kind: 'broadcast', text: 'five minutes', by: 'a' },
    { kind: 'help', room: 'Room 1', identity: 'a' },
    { kind: 'moved', name: 'Room 1' },
    ...(['owner', 'moderator', 'speaker', 'viewer'] as const).map((role): Said => ({ kind: 'role', role })),
    ...(['camera', 'microphone', 'screen', 'chat', 'files'] as const).flatMap((right): Said[] => [{ kind: 'right', right, given: true }, { kind: 'right', right, given: false }]),
    ...['not_allowed', 'not_found', 'bad_value', 'too_many', 'too_long', 'closed', 'disconnected', 'no_answer', 'a new one'].map((code): Said => ({ kind: 'failed', code })),
  ];
  const words = all.map((said) => toastWords(said, () => 'Ada'));
  expect(words.every((sentence) => sentence.trim() !== '')).toBe(true);
  expect(new Set(words).size).toBe(all.length);
  expect(nameOf([person('a', 'Ada')], 'a', 'Guest')).toBe('Ada');
  expect(nameOf([], 'Cem', 'Guest')).toBe('Cem');
  expect(nameOf([], '', 'Guest')).toBe('Guest');
});

test('whoever is in another room keeps the name that was seen, among so many', () => {
  remember([person('away', 'Dora'), person('nobody', '')]);
  expect(nameOf([], 'away', 'Guest')).toBe('Dora');
  expect(nameOf([person('away', 'Dora B.')], 'away', 'Guest')).toBe('Dora B.');
  remember(Array.from({ length: SEEN_AT_MOST }, (_, i) => person(`p${i}`, `P ${i}`)));
  expect(nameOf([], 'away', 'Guest')).toBe('away');
  expect(nameOf([], 'p0', 'Guest')).toBe('P 0');
});

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

test('what comes at once is one announcement; what was there on arrival is none', () => {
  const said: string[] = [];
  const news = new News((sentence) => said.push(sentence), (identity) => identity);
  news.observe(MEETING_INITIAL);
  news.observe(meeting({ chat: [message(1, 'ada', 'before')] }));
  for (let id = 2; id < 30; id++) news.observe(meeting({ chat: Array.from({ length: id }, (_, i) => message(i + 1, 'ada', 'x')) }));
  vi.advanceTimersByTime(GATHER_MS);
  expect(said).toEqual(['28 new messages.']);
  news.observe(meeting({ chat: Array.from({ length: 30 }, (_, i) => message(i + 1, 'ada', 'x')) }));
  news.close();
  vi.advanceTimersByTime(GATHER_MS * 5);
  expect(said).toHaveLength(1);
});

test('a calendar entry is one that calendars read, whatever stands in the title', () => {
  const text = calendarFile(
    { title: 'Council; budget, 2\nBEGIN:VEVENT', body: `Join: https://example.org/r/x\n${'é'.repeat(80)}`, link: 'x', start: new Date('2027-03-04T09:00:00Z'), minutes: 90 },
    new Date('2027-03-01T00:00:00Z'),
    'uid-1',
  );
  expect(text).toContain('DTSTART:20270304T090000Z\r\nDTEND:20270304T103000Z\r\n');
  expect(text).toContain('SUMMARY:Council\\; budget\\, 2\\nBEGIN:VEVENT\r\n');
  expect(text.match(/^BEGIN:VEVENT$/gm)).toHaveLength(1);
  expect(text.endsWith('END:VCALENDAR\r\n')).toBe(true);
  for (const line of text.split('\r\n')) expect(new TextEncoder().encode(line).length).toBeLessThanOrEqual(75);
  expect(text.replaceAll('\r\n ', '')).toContain('é'.repeat(80));
});

test('a mail has its text where mail programs look for it', () => {
  expect(mailLink({ title: 'A & B', body: 'one\ntwo?' })).toBe('mailto:?subject=A%20%26%20B&body=one%0D%0Atwo%3F');
});

test('the next whole hour, and not one that is nearly here', () => {
  expect(fieldOf(nextHour(new Date(2027, 2, 4, 9, 10)))).toBe('2027-03-04T10:00');
  expect(fieldOf(nextHour(new Date(2027, 2, 4, 22, 50)))).toBe('2027-03-05T00:00');
});

test('a name in a table can neither break it nor become a formula', () => {
  expect(csv([['a', 'b,c', 'say "hi"', 3], ['=1+1', '+x', '-y', -5]])).toBe('a,"b,c","say ""hi""",3\r\n\'=1+1,\'+x,\'-y,-5\r\n');
});

test('people are spread evenly over rooms', () => {
  const people = Array.from({ length: 11 }, (_, i) => `p${i}`);
  const places = spread(people, 3);
  expect([...places.keys()].sort()).toEqual([...people].sort());
  const sizes = [0, 1, 2].map((room) => [...places.values()].filter((r) => r === room).length);
  expect(sizes.sort()).toEqual([3, 4, 4]);
  expect([...spread(['a', 'b'], 2, () => 0).values()]).toEqual([0, 1]);
});

test('the attendance list is by arrival, and bad content is no person', () => {
  const list = attended({ people: [{ name: 'Bo', joined_ms: 20, left_ms: 30, spoke_ms: 5 }, { name: 'Ada', joined_ms: 10, left_ms: null }, 7] });
  expect(list).toEqual([
    { name: 'Ada', joined_ms: 10, left_ms: undefined, spoke_ms: 0 },
    { name: 'Bo', joined_ms: 20, left_ms: 30, spoke_ms: 5 },
  ]);
  expect(attended({})).toEqual([]);
});
