// SPDX-License-Identifier: EUPL-1.2
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Cipher, MeetingModel, MESSAGES_AT_MOST, REACTION_MS, REACTIONS_AT_MOST, TOAST_MS, TOASTS_AT_MOST } from '../src/meeting/model.ts';
import { readFrame } from '../src/meeting/protocol.ts';
import { ANSWER_MS, CLOSED } from '../src/meeting/socket.ts';
import { fakeWires, message, RIGHTS, settled, snapshot } from './fake-meeting.ts';

beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => vi.useRealTimers());

function setUp(cipher?: Cipher) {
  const fake = fakeWires();
  const tickets: boolean[] = [];
  const moves: string[] = [];
  const model = new MeetingModel({
    open: fake.open,
    pause: fake.pause,
    cipher,
    ticket: async (again) => {
      tickets.push(again);
      return { token: `token-${tickets.length}`, identity: 'me', room: 'r' };
    },
    move: (ticket, name) => moves.push(`${name} by ${ticket.token}`),
  });
  const inside = async (state = {}) => {
    const wire = await fake.accepted();
    wire.say(snapshot(1, state));
    return wire;
  };
  const kinds = () => model.value.toasts.map((toast) => toast.kind);
  return { ...fake, model, tickets, moves, inside, kinds };
}

test('the socket says who it is, and a snapshot is the state', async () => {
  const { model, inside } = setUp();
  expect(model.value.ready).toBe(false);
  const wire = await inside({ hands: { queue: [{ identity: 'bo', since_ms: 5 }] }, lobby: { waiting: [{ id: 'w1', name: 'Cem', since_ms: 9 }] } });
  expect(wire.sent).toEqual([{ hello: { token: 'token-1' } }]);
  expect(model.value).toMatchObject({ ready: true, connection: 'open', hands: [{ identity: 'bo' }], lobby: [{ id: 'w1', name: 'Cem' }] });
  expect(model.value.room.title).toBe('Council');
  expect(model.value.members.roles.get('ada')).toBe('owner');
});

test('a patch replaces what it holds and leaves the rest', async () => {
  const { model, inside } = setUp();
  const wire = await inside({ chat: { messages: [message(1, 'one')] } });
  wire.say({ patch: { version: 2, state: { hands: { queue: [{ identity: 'me', since_ms: 1 }] } } } });
  wire.say({ patch: { version: 3, state: { chat: { messages: [message(2, 'two'), message(1, '', { retracted: 'author' })] } } } });
  expect(model.value.hands.map((h) => h.identity)).toEqual(['me']);
  expect(model.value.chat.map((m) => [m.id, m.text, m.retracted])).toEqual([[1, '', 'author'], [2, 'two', undefined]]);
});

test('a missed version asks for everything anew, once, and believes nothing meanwhile', async () => {
  const { model, inside } = setUp();
  const wire = await inside();
  wire.say({ patch: { version: 3, state: { hands: { queue: [{ identity: 'bo', since_ms: 1 }] } } } });
  wire.say({ patch: { version: 4, state: { hands: { queue: [{ identity: 'cem', since_ms: 1 }] } } } });
  expect(wire.sent.filter((s) => s.do === 'resync')).toHaveLength(1);
  expect(model.value.hands).toEqual([]);
  wire.say(snapshot(5, { hands: { queue: [{ identity: 'cem', since_ms: 1 }] } }));
  wire.say({ patch: { version: 6, state: { members: { roles: {}, viewers: 3 } } } });
  expect(model.value.hands.map((h) => h.identity)).toEqual(['cem']);
  expect(model.value.members.viewers).toBe(3);
});

test('a snapshot without a key takes away what stood there: a former moderator sees no lobby', async () => {
  const { model, inside } = setUp();
  const wire = await inside({ lobby: { waiting: [{ id: 'w', name: 'Cem', since_ms: 1 }] } });
  wire.say(snapshot(2));
  expect(model.value.lobby).toEqual([]);
});

test('a lost connection comes back by itself, with what was shown kept and a fresh snapshot', async () => {
  const { model, inside, pauses, wires, accepted } = setUp();
  const wire = await inside({ chat: { messages: [message(1, 'one')] } });
  wire.drop(1006);
  expect(model.value.connection).toBe('lost');
  expect(model.value.chat).toHaveLength(1);
  await settled();
  pauses[0]?.end();
  const second = await accepted();
  expect(wires).toHaveLength(2);
  second.say(snapshot(40, { chat: { messages: [message(1, 'one'), message(2, 'two')] } }));
  expect(model.value).toMatchObject({ connection: 'open', unread: 1 });
  second.say({ patch: { version: 41, state: { hands: { queue: [] } } } });
  expect(second.sent).toHaveLength(1);
});

test('pauses grow while nobody answers', async () => {
  const { pauses, wires, accepted } = setUp();
  for (let i = 0; i < 8; i++) {
    (await accepted()).drop(1006);
    await settled();
    pauses[i]?.end();
  }
  expect(pauses.slice(0, 8).map((p) => p.ms)).toEqual([300, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 30_000]);
  expect(wires.length).toBeGreaterThan(7);
});

test('a hello that is turned down is said again with a fresh ticket, for as long as it takes', async () => {
  const { model, tickets, pauses, accepted, inside } = setUp();
  for (let i = 0; i < 4; i++) {
    (await accepted()).drop(CLOSED.refused);
    await settled();
    pauses[i]?.end();
  }
  await inside();
  expect(tickets).toEqual([false, true, true, true, true]);
  expect(model.value).toMatchObject({ connection: 'open', ready: true });
});

test('a second window takes the place, and the first does not take it back', async () => {
  const { model, inside, wires } = setUp();
  (await inside()).drop(CLOSED.replaced);
  await settled();
  expect(model.value.connection).toBe('elsewhere');
  expect(wires).toHaveLength(1);
});

test('a command has its own answer, whatever comes between', async () => {
  const { model, inside } = setUp();
  const wire = await inside();
  const sent = model.send('Good morning', undefined, 4);
  const raised = model.do('hand.raise');
  await settled();
  expect(wire.sent.slice(1)).toEqual([{ id: 1, do: 'chat.send', text: 'Good morning', reply_to: 4 }, { id: 2, do: 'hand.raise' }]);
  wire.say({ answer: { id: 2, error: { code: 'not_allowed', message: 'no' } } });
  wire.say({ answer: { id: 1, ok: { id: 12 } } });
  expect(await sent).toBe(true);
  expect(await raised).toBeUndefined();
  expect(model.value.toasts).toMatchObject([{ kind: 'failed', code: 'not_allowed' }]);
});

test('no answer, no connection and a lost one are failures that are said', async () => {
  const { model, inside } = setUp();
  expect(await model.send('too early')).toBe(false);
  const wire = await inside();
  const late = model.do('mute', { everyone: true, source: 'microphone' });
  vi.advanceTimersByTime(ANSWER_MS);
  expect(await late).toBeUndefined();
  const lost = model.do('hand.raise');
  wire.drop(1006);
  expect(await lost).toBeUndefined();
  expect(model.value.toasts.map((t) => t.kind === 'failed' && t.code)).toEqual(['no_answer', 'disconnected']);
});

test('frames that are no words of the protocol change nothing', async () => {
  const { model, inside } = setUp();
  const wire = await inside();
  const before = model.value;
  for (const frame of ['', '[]', 'null', '{"patch":{}}', '{"event":{"what":"new"}}', '{"snapshot":7}', '{"answer":{"id":99,"ok":{}}}']) {
    wire.say(frame);
  }
  expect(model.value).toBe(before);
  expect(readFrame('{"snapshot":{"version":1,"state":{"chat":{"messages":[7,null]},"polls":"x","you":null}}}')).toEqual({
    kind: 'snapshot',
    version: 1,
    state: { chat: [], polls: [] },
  });
});

test('unread counts what others wrote since the chat was looked at', async () => {
  const { model, inside } = setUp();
  const wire = await inside({ chat: { messages: [message(1, 'before I came')] } });
  expect(model.value.unread).toBe(0);
  wire.say({ patch: { version: 2, state: { chat: { messages: [message(2, 'a'), message(3, 'mine', { from: 'me' }), message(4, 'b')] } } } });
  expect(model.value.unread).toBe(2);
  wire.say({ patch: { version: 3, state: { chat: { messages: [message(4, '', { retracted: 'moderator' })] } } } });
  expect(model.value.unread).toBe(1);
  model.reading(true);
  expect(model.value.unread).toBe(0);
  wire.say({ patch: { version: 4, state: { chat: { messages: [message(5, 'c')] } } } });
  expect(model.value.unread).toBe(0);
  model.reading(false);
  wire.say({ patch: { version: 5, state: { chat: { messages: [message(6, 'd')] } } } });
  expect(model.value.unread).toBe(1);
});

test('messages kept, toasts and reactions have bounds and ends', async () => {
  const { model, inside } = setUp();
  const many = Array.from({ length: MESSAGES_AT_MOST + 10 }, (_, i) => message(i + 1, `${i + 1}`));
  const wire = await inside({ chat: { messages: many } });
  expect(model.value.chat).toHaveLength(MESSAGES_AT_MOST);
  expect(model.value.chat[0]?.id).toBe(11);
  for (let i = 0; i < REACTIONS_AT_MOST + 5; i++) wire.say({ event: { what: 'reaction', identity: 'bo', emoji: '👍' } });
  expect(model.value.reactions).toHaveLength(REACTIONS_AT_MOST);
  vi.advanceTimersByTime(REACTION_MS);
  expect(model.value.reactions).toEqual([]);
  for (let i = 0; i < 10; i++) wire.say({ event: { what: 'broadcast', text: `${i}`, by: 'ada' } });
  expect(model.value.toasts).toHaveLength(TOASTS_AT_MOST);
});

test('what a moderator does to this person is said; what asks for an answer stays', async () => {
  const { model, inside, kinds } = setUp();
  const wire = await inside();
  wire.say({ event: { what: 'muted', source: 'microphone', by: 'ada' } });
  wire.say({ event: { what: 'muted', source: 'microphone', by: 'ada' } });
  wire.say({ event: { what: 'unmute_asked', source: 'camera', by: 'ada' } });
  wire.say({ patch: { version: 2, state: { you: { identity: 'me', role: 'speaker', rights: { ...RIGHTS, chat: false, unmute: false } } } } });
  expect(kinds()).toEqual(['muted', 'unmute_asked', 'right']);
  expect(model.value.toasts[2]).toMatchObject({ right: 'chat', given: false });
  vi.advanceTimersByTime(TOAST_MS);
  expect(kinds()).toEqual(['unmute_asked']);
  model.dismiss(model.value.toasts[0]?.key ?? 0);
  wire.say({ patch: { version: 3, state: { you: { identity: 'me', role: 'moderator', rights: RIGHTS } } } });
  expect(model.value.toasts).toMatchObject([{ kind: 'role', role: 'moderator' }]);
});

test('to be called is to be asked to unmute: one toast, in whichever order they come', async () => {
  const { inside, kinds } = setUp();
  const wire = await inside();
  wire.say({ event: { what: 'unmute_asked', source: 'microphone', by: 'ada' } });
  wire.say({ event: { what: 'called', by: 'ada' } });
  wire.say({ event: { what: 'unmute_asked', source: 'microphone', by: 'ada' } });
  expect(kinds()).toEqual(['called']);
  vi.advanceTimersByTime(TOAST_MS);
  expect(kinds()).toEqual(['called']);
  wire.say({ event: { what: 'unmute_asked', source: 'camera', by: 'ada' } });
  expect(kinds()).toEqual(['called', 'unmute_asked']);
});

test('a call for help names the room, not its number', async () => {
  const { model, inside } = setUp();
  const wire = await inside({ breakouts: { rooms: [{ id: '2', name: 'Table B', members: ['bo'], help: true }], ends_ms: null, mine: null } });
  wire.say({ event: { what: 'help', room: '2', identity: 'bo' } });
  expect(model.value.toasts).toMatchObject([{ kind: 'help', room: 'Table B', identity: 'bo' }]);
});

test('going elsewhere, being removed and the end are told', async () => {
  const { model, inside, moves } = setUp();
  const wire = await inside();
  wire.say({ event: { what: 'breakout', ticket: { room: 'b', token: 't', identity: 'me' }, name: 'Table 1' } });
  expect(moves).toEqual(['Table 1 by t']);
  wire.say({ event: { what: 'removed', banned: true } });
  expect(model.value.out).toEqual({ kind: 'removed', banned: true });
});

test('in an encrypted room the server gets and gives nothing that it could read', async () => {
  const cipher: Cipher = {
    seal: async (text, by) => (text.length > 9 ? undefined : `${by}:${[...text].reverse().join('')}`),
    open: async (text, from) => (text.startsWith(`${from}:`) ? [...text.slice(from.length + 1)].reverse().join('') : undefined),
  };
  const { model, inside } = setUp(cipher);
  const wire = await inside({ chat: { messages: [message(1, 'ada:olleh'), message(2, 'plain')] } });
  await settled();
  expect(model.value.chat.map((m) => [m.text, m.unreadable])).toEqual([['hello', undefined], ['', true]]);
  expect(model.value.unread).toBe(0);
  void model.send('secret');
  await settled();
  expect(wire.last).toMatchObject({ do: 'chat.send', text: 'me:terces' });
  expect(JSON.stringify(wire.sent)).not.toContain('secret');
  expect(await model.send('much too long')).toBe(false);
  expect(model.value.toasts).toMatchObject([{ kind: 'failed', code: 'too_long' }]);
});

const REVERSED: Cipher = {
  seal: async (text, by) => (text.length > 60 ? undefined : `${by}:${[...text].reverse().join('')}`),
  open: async (text, from) => (text.startsWith(`${from}:`) ? [...text.slice(from.length + 1)].reverse().join('') : undefined),
};

test('in an encrypted room a poll goes sealed as a whole, and its answers as numbers', async () => {
  const { model, inside, kinds } = setUp(REVERSED);
  const wire = await inside();
  void model.openPoll({ question: 'Roads?', options: ['Yes', 'Not yet'], secret: false, multiple: false });
  await settled();
  const asked = wire.last as { question: string; options: string[] };
  expect(asked).toMatchObject({ do: 'poll.open', options: ['1', '2'], secret: false });
  expect(JSON.stringify(wire.sent)).not.toMatch(/Roads|Yes|yet/);
  const poll = { id: 1, secret: false, multiple: false, open: true, counts: null, votes: null, mine: null, voted: 0, options: ['1', '2'] };
  wire.say({
    patch: {
      version: 2,
      state: {
        polls: {
          polls: [
            { ...poll, by: 'me', question: asked.question },
            // Shown as somebody else's, with an answer more, or never sealed: none of it is shown.
            { ...poll, id: 2, by: 'ada', question: asked.question },
            { ...poll, id: 3, by: 'me', question: asked.question, options: ['1', '2', '3'] },
            { ...poll, id: 4, by: 'bo', question: 'plain' },
            { ...poll, id: 5, by: 'me', question: await REVERSED.seal('["Roads?","Yes","No"]', 'me') },
          ],
        },
      },
    },
  });
  await settled();
  expect(model.value.polls.map((p) => [p.id, p.question, p.options, p.unreadable])).toEqual([
    [1, 'Roads?', ['Yes', 'Not yet'], undefined],
    [2, '', ['1', '2'], true],
    [3, '', ['1', '2', '3'], true],
    [4, '', ['1', '2'], true],
    [5, '', ['1', '2'], true],
  ]);
  expect(await model.openPoll({ question: 'long '.repeat(20), options: ['a', 'b'], secret: false, multiple: false })).toBe(false);
  expect(kinds()).toEqual(['failed']);
});

test('in an encrypted room reactions and announcements pass sealed, and only as what they are', async () => {
  const { model, inside } = setUp(REVERSED);
  const wire = await inside();
  void model.react('👍');
  await settled();
  expect(wire.last).toMatchObject({ do: 'reaction.send', sealed: 'me\nreaction:👍' });
  expect(wire.last).not.toHaveProperty('emoji');
  void model.announce('Back at ten');
  await settled();
  expect(wire.last).toMatchObject({ do: 'breakout.broadcast', text: 'me\nannouncement:net ta kcaB' });
  wire.say({ event: { what: 'reaction', identity: 'bo', sealed: 'bo\nreaction:🎉' } });
  // In the clear, of somebody else, no reaction at all, a chat message: none is shown.
  wire.say({ event: { what: 'reaction', identity: 'bo', emoji: '👎' } });
  wire.say({ event: { what: 'reaction', identity: 'cem', sealed: 'bo\nreaction:🎉' } });
  wire.say({ event: { what: 'reaction', identity: 'bo', sealed: 'bo\nreaction:olleh' } });
  wire.say({ event: { what: 'reaction', identity: 'bo', sealed: 'bo:🎉' } });
  wire.say({ event: { what: 'broadcast', by: 'ada', text: 'ada\nannouncement:net ta' } });
  wire.say({ event: { what: 'broadcast', by: 'ada', text: 'in the clear' } });
  await settled();
  expect(model.value.reactions.map(({ identity, emoji }) => [identity, emoji])).toEqual([['bo', '🎉']]);
  expect(model.value.toasts).toMatchObject([
    { kind: 'broadcast', text: 'at ten', by: 'ada' },
    { kind: 'broadcast', text: '', by: 'ada', unreadable: true },
  ]);
});

test('viewers are looked for a page at a time', async () => {
  const { model, inside, kinds } = setUp();
  const wire = await inside();
  const found = model.findViewers('do', 50);
  await settled();
  expect(wire.last).toMatchObject({ do: 'viewers.find', text: 'do', skip: 50 });
  wire.answer({ people: [{ identity: 'd', name: 'Dora' }, 'nobody'], total: 51, next: null });
  expect(await found).toEqual({ people: [{ identity: 'd', name: 'Dora' }], total: 51, next: undefined });
  const refused = model.findViewers('');
  await settled();
  wire.refuse('not_allowed');
  expect([await refused, kinds()]).toEqual([undefined, ['failed']]);
});

test('whoever is in a breakout room has a name, and whoever waits a note', async () => {
  const { model, inside } = setUp();
  await inside({
    lobby: { waiting: [{ id: '1', name: 'Cem', since_ms: 1, note: '<b>of the press</b>' }, { id: '2', name: 'Bo', since_ms: 2, note: 7 }] },
    breakouts: { rooms: [{ id: 'b1', name: 'Roads', members: ['bo'], names: { bo: 'Bo' }, help: false }], ends_ms: null, mine: null },
  });
  expect(model.value.lobby.map(({ note }) => note)).toEqual(['<b>of the press</b>', undefined]);
  expect(model.value.breakouts?.rooms[0]?.names.get('bo')).toBe('Bo');
});

test('once closed it is quiet: no frame, no timer, no new socket', async () => {
  const { model, inside, wires } = setUp();
  const wire = await inside();
  wire.say({ event: { what: 'reaction', identity: 'bo', emoji: '👍' } });
  model.close();
  await settled();
  expect(wire.closed).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
  expect(wires).toHaveLength(1);
});
