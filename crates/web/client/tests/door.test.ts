// SPDX-License-Identifier: EUPL-1.2
import { expect, test } from 'vitest';
import { type Asking, type Entry, JoinError } from '../src/join.ts';
import { Door } from '../src/meeting/door.ts';
import { ROOMS_AT_MOST, Seats } from '../src/meeting/seats.ts';
import { CLOSED } from '../src/meeting/socket.ts';
import { fakeWires, settled } from './fake-meeting.ts';

const IN: Entry = { in: { token: 't', identity: 'i', room: 'r' }, seat: 's1', role: 'speaker' };
const WAIT: Entry = { waiting: 'w', seat: 's1', reason: 'lobby' };

class Memory {
  text: string | null = null;
  getItem = () => this.text;
  setItem = (_: string, value: string) => (this.text = value);
}

function setUp(...answers: (Entry | JoinError)[]) {
  const fake = fakeWires();
  const asked: Asking[] = [];
  const storage = new Memory();
  const seats = new Seats(storage);
  const door = new Door(
    {
      request: async (asking) => {
        asked.push(asking);
        const answer = answers.shift() ?? IN;
        if (answer instanceof JoinError) throw answer;
        return answer;
      },
      wire: fake.open,
      pause: fake.pause,
      seats,
    },
    'r',
    'Ada',
  );
  return { ...fake, door, asked, seats };
}

test('the seat that came with the first ticket is shown the next time', async () => {
  const { door, asked, seats } = setUp();
  expect(await door.enter()).toEqual({ token: 't', identity: 'i', room: 'r' });
  await door.enter();
  expect(asked).toEqual([{ name: 'Ada' }, { name: 'Ada', seat: 's1' }]);
  expect(seats.of('r')).toEqual({ seat: 's1' });
});

test('whoever made the room shows its key', async () => {
  const { door, asked, seats } = setUp();
  seats.keep('r', { hostKey: 'k' });
  await door.enter();
  expect(asked).toEqual([{ name: 'Ada', hostKey: 'k' }]);
});

test('a password is asked for, told to be wrong, and remembered for the page', async () => {
  const { door, asked } = setUp(new JoinError('password_needed', ''), new JoinError('password_wrong', ''), IN, IN);
  const entering = door.enter();
  await settled();
  expect(door.value).toEqual({ step: 'password', wrong: false });
  door.givePassword('one');
  await settled();
  expect(door.value).toEqual({ step: 'password', wrong: true });
  door.givePassword('two');
  await entering;
  expect(door.value).toEqual({ step: 'none' });
  await door.enter();
  expect(asked.map((a) => a.password)).toEqual([undefined, 'one', 'two', 'two']);
});

test('waiting shows what the server tells, and ends with a ticket', async () => {
  const { door, accepted, wires, seats } = setUp(WAIT);
  const entering = door.enter();
  const wire = await accepted();
  expect(wire.sent).toEqual([{ hello: { waiting: 'w' } }]);
  wire.say({ waiting: { title: 'Council', reason: 'host' } });
  expect(door.value).toEqual({ step: 'waiting', reason: 'host', title: 'Council', connected: true });
  wire.say({ admitted: { token: 'a', identity: 'i', room: 'r', seat: 's2', role: 'speaker' } });
  expect(await entering).toEqual({ token: 'a', identity: 'i', room: 'r' });
  expect(door.value).toEqual({ step: 'none' });
  expect(seats.of('r').seat).toBe('s2');
  expect(wire.closed).toBe(true);
  await settled();
  expect(wires).toHaveLength(1);
});

test.each([
  ['refused', 'declined'],
  ['ended', 'ended'],
  ['full', 'room_full'],
])('the lobby’s %s is a refusal of its own', async (code, refusal) => {
  const { door, accepted } = setUp(WAIT);
  const entering = door.enter().catch((error: unknown) => error);
  (await accepted()).say({ refused: { code } });
  expect(await entering).toMatchObject({ refusal });
  expect(door.value).toEqual({ step: 'none' });
});

test('a lost connection keeps the place; a place that is gone is asked for anew', async () => {
  const { door, accepted, pauses, asked, wires } = setUp(WAIT, { ...WAIT, waiting: 'w2' });
  void door.enter();
  const first = await accepted();
  first.say({ waiting: { title: null, reason: 'lobby' } });
  first.drop(1006);
  expect(door.value).toMatchObject({ step: 'waiting', connected: false });
  for (let i = 0; i < 3; i++) {
    await settled();
    pauses[i]?.end();
    (await accepted()).drop(CLOSED.refused);
  }
  const next = await accepted();
  expect(asked).toHaveLength(2);
  expect(next.sent).toEqual([{ hello: { waiting: 'w2' } }]);
  expect(wires).toHaveLength(5);
});

test('whoever waits says a note, and hears whether it came through', async () => {
  const { door, accepted } = setUp(WAIT);
  expect(await door.note('too early')).toBe(false);
  void door.enter().catch(() => undefined);
  const wire = await accepted();
  wire.say({ waiting: { title: null, reason: 'lobby' } });
  const said = door.note('of the press');
  expect(wire.last).toMatchObject({ do: 'note', text: 'of the press' });
  wire.answer({});
  expect(await said).toBe(true);
  const again = door.note('again');
  wire.refuse('too_many');
  expect(await again).toBe(false);
});

test('whoever leaves while waiting gives up the place', async () => {
  const { door, accepted, pauses } = setUp(WAIT);
  const entering = door.enter().catch((error: unknown) => error);
  const wire = await accepted();
  door.leave();
  expect(await entering).toBeInstanceOf(JoinError);
  expect(wire.closed).toBe(true);
  expect(pauses).toHaveLength(0);
  expect(door.value).toEqual({ step: 'none' });
});

test('other refusals are passed on', async () => {
  const { door } = setUp(new JoinError('banned', ''));
  await expect(door.enter()).rejects.toMatchObject({ refusal: 'banned' });
});

test('what is kept of rooms survives a reload, bad content and a full house; host keys longest', () => {
  const storage = new Memory();
  new Seats(storage).keep('mine', { hostKey: 'k' }, 1);
  const seats = new Seats(storage);
  for (let i = 0; i < ROOMS_AT_MOST + 20; i++) seats.keep(`room-${i}`, { seat: `s${i}` }, 2 + i);
  const again = new Seats(storage);
  expect(again.of('mine')).toEqual({ hostKey: 'k' });
  expect(again.of('room-0')).toEqual({});
  expect(again.of(`room-${ROOMS_AT_MOST + 19}`).seat).toBe(`s${ROOMS_AT_MOST + 19}`);
  expect(Object.keys(JSON.parse(storage.text ?? '{}') as object)).toHaveLength(ROOMS_AT_MOST);
  for (const bad of ['{', '[]', '{"r":7}', '{"r":{"seat":7,"hostKey":""}}', `{"r":{"seat":"${'x'.repeat(600)}"}}`]) {
    storage.text = bad;
    expect(new Seats(storage).of('r'), bad.slice(0, 40)).toEqual({});
  }
  const nowhere = new Seats({ getItem: () => null, setItem: () => { throw new Error('full'); } });
  nowhere.keep('r', { seat: 's' });
  expect(nowhere.of('r')).toEqual({ seat: 's' });
});
