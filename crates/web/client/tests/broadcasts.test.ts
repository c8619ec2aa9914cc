// SPDX-License-Identifier: EUPL-1.2
/** What is said to all breakout rooms is shown once to everybody, wherever they were when it was said. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Heard } from '../src/meeting/heard.ts';
import { type Cipher, MeetingModel } from '../src/meeting/model.ts';
import { GATHER_MS, News } from '../src/panels/news.ts';
import { peopleElsewhere } from '../src/panels/roster.ts';
import { toastWords } from '../src/panels/words.ts';
import { fakeWires, settled, snapshot } from './fake-meeting.ts';

beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => vi.useRealTimers());

const AT = 1_700_000_000_000;
const said = (text: string, at_ms: number) => ({ event: { what: 'broadcast', text, by: 'ada', name: 'Ada', at_ms } });

/** One room after the other of the same meeting, as a page goes through them. */
function setUp(cipher?: Cipher) {
  const kept = new Map<string, string>();
  const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) };
  let heard = new Heard(storage);
  const enter = async () => {
    const fake = fakeWires();
    const model = new MeetingModel({
      open: fake.open,
      pause: fake.pause,
      cipher,
      heard,
      ticket: async () => ({ token: 't', identity: 'me', room: 'r' }),
      move: () => undefined,
    });
    const wire = await fake.accepted();
    return { model, wire, texts: () => model.value.toasts.map((toast) => (toast.kind === 'broadcast' ? toast.text : toast.kind)) };
  };
  return { enter, reload: () => (heard = new Heard(storage)), kept };
}

test('told again in the next room, only what was not shown is', async () => {
  const { enter, reload } = setUp();
  const main = await enter();
  main.wire.say(said('one', AT));
  main.model.close();
  const room = await enter();
  // On arrival, before the state: what was said before, and while this person was on the way.
  room.wire.say(said('one', AT));
  room.wire.say(said('two', AT + 1));
  room.wire.say(snapshot(1));
  room.wire.say(said('two', AT + 2));
  expect(room.texts()).toEqual(['two', 'two']);
  room.model.close();
  reload();
  const again = await enter();
  again.wire.say(said('two', AT + 2));
  again.wire.say(said('three', AT + 3));
  expect(again.texts()).toEqual(['three']);
});

test('what was shown and not put away goes along, and what passes by itself does not', async () => {
  const { enter } = setUp();
  const main = await enter();
  main.wire.say(snapshot(1));
  main.wire.say(said('come back at ten', AT));
  main.wire.say(said('bring the plans', AT + 1));
  main.wire.say({ event: { what: 'muted', source: 'camera', by: 'ada' } });
  main.model.dismiss(main.model.value.toasts[0]?.key ?? 0);
  const room = await enter();
  for (const each of main.model.lasting) room.model.say(each);
  expect(room.texts()).toEqual(['bring the plans']);
});

test('sealed, it is opened in its order; what could not be shown before the page left is shown in the next room', async () => {
  let open: () => void = () => undefined;
  const slow = new Promise<void>((resolve) => (open = resolve));
  const cipher: Cipher = {
    seal: async (text, by) => `${by}:${text}`,
    open: async (sealed, from) => {
      if (sealed.endsWith('slow')) await slow;
      return sealed.startsWith(`${from}:`) ? sealed.slice(from.length + 1) : undefined;
    },
  };
  const sealed = (text: string, at_ms: number) => said(`ada\nannouncement:${text}`, at_ms);
  const { enter } = setUp(cipher);
  const main = await enter();
  main.wire.say(sealed('slow', AT));
  main.wire.say(sealed('quick', AT + 1));
  await settled();
  expect(main.texts()).toEqual([]);
  main.model.close();
  open();
  await settled();
  const room = await enter();
  room.wire.say(sealed('slow', AT));
  room.wire.say(sealed('quick', AT + 1));
  room.wire.say(said('bo\nannouncement:forged', AT + 2));
  await settled();
  expect(room.texts()).toEqual(['slow', 'quick', '']);
  expect(room.model.value.toasts[2]).toMatchObject({ unreadable: true });
});

test('where nothing can be stored it holds for the page, and a stored time that cannot be is none', () => {
  const forbidden = {
    getItem: () => null,
    setItem: () => {
      throw new Error('full');
    },
  };
  const heard = new Heard(forbidden);
  expect([heard.take(AT), heard.take(AT), heard.take(AT + 1)]).toEqual([true, false, true]);
  expect([heard.take(0), heard.take(0)]).toEqual([true, true]);
  for (const kept of ['9e99', 'yesterday', String(Date.now() + 9e9)]) expect(new Heard({ getItem: () => kept, setItem: () => undefined }).take(AT), kept).toBe(true);
  expect(new Heard({ getItem: () => String(AT), setItem: () => undefined }).take(AT)).toBe(false);
});

test('who speaks is named, also to those who never saw them', () => {
  const words = (name: string) => toastWords({ kind: 'broadcast', text: 'five minutes', by: 'a', name }, () => 'Somebody');
  expect([words('Ada'), words('')]).toEqual(['Ada to all rooms: five minutes', 'Somebody to all rooms: five minutes']);
});

test('what is said on the way into a room is said aloud there', async () => {
  const { enter } = setUp();
  const { model, wire } = await enter();
  const aloud: string[] = [];
  const news = new News((sentence) => aloud.push(sentence), (identity) => identity);
  model.subscribe((state) => news.observe(state));
  wire.say(said('two minutes', AT));
  wire.say(snapshot(1, { hands: { queue: [{ identity: 'bo', name: 'Bo', since_ms: 1 }] } }));
  vi.advanceTimersByTime(GATHER_MS);
  expect(aloud).toEqual(['Ada to all rooms: two minutes']);
  news.close();
});

test('who is alone in a room is told how many are in the others', () => {
  const room = (id: string, members: string[]) => ({ id, name: id, members, names: new Map(), help: false });
  const breakouts = { rooms: [room('b1', ['bo', 'cem']), room('b2', ['dora'])], ends_ms: undefined, mine: undefined };
  expect(peopleElsewhere(undefined)).toBe(0);
  expect(peopleElsewhere(breakouts)).toBe(3);
  expect(peopleElsewhere({ ...breakouts, mine: 'b2' })).toBe(2);
});
