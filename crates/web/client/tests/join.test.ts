// SPDX-License-Identifier: EUPL-1.2
import { expect, test, vi } from 'vitest';
import { JoinError, makeRoom, requestEntry, requestFacts } from '../src/join.ts';

const answering = (status: number, body: string) => vi.fn<typeof fetch>(async () => new Response(body, { status }));

async function refusalOf(fetcher: typeof fetch): Promise<string> {
  const error = await requestEntry('abc', { name: 'Ada' }, fetcher).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(JoinError);
  return (error as JoinError).refusal;
}

test('the name goes to the room’s own address, and the token comes back', async () => {
  const fetcher = answering(200, '{"token":"t","identity":"i","room":"a b","seat":"s","role":"owner"}');
  await expect(requestEntry('a b/c', { name: 'Ada', seat: 's', hostKey: 'h', password: 'p' }, fetcher)).resolves.toEqual({
    in: { token: 't', identity: 'i', room: 'a b' },
    seat: 's',
    role: 'owner',
  });
  const [path, init] = fetcher.mock.calls[0] ?? [];
  expect(path).toBe('/api/rooms/a%20b%2Fc/join');
  expect(init?.method).toBe('POST');
  expect(JSON.parse(String(init?.body))).toEqual({ name: 'Ada', seat: 's', host_key: 'h', password: 'p' });
});

test('a server that knows nothing of seats is joined as ever', async () => {
  const fetcher = answering(200, '{"token":"t","identity":"i","room":"a"}');
  await expect(requestEntry('a', { name: 'Ada' }, fetcher)).resolves.toMatchObject({ seat: undefined, role: 'speaker' });
  expect(JSON.parse(String(fetcher.mock.calls[0]?.[1]?.body))).toEqual({ name: 'Ada' });
});

test('a place outside is no ticket', async () => {
  const fetcher = answering(202, '{"waiting":"w","seat":"s","reason":"host"}');
  await expect(requestEntry('a', { name: 'Ada' }, fetcher)).resolves.toEqual({ waiting: 'w', seat: 's', reason: 'host' });
});

test.each(['room_full', 'draining', 'bad_name', 'not_allowed', 'password_needed', 'password_wrong', 'locked', 'banned'])(
  'the server’s code %s is kept',
  async (code) => {
    expect(await refusalOf(answering(403, JSON.stringify({ code, message: '' })))).toBe(code);
  },
);

test('other failures are the server’s or the network’s', async () => {
  expect(await refusalOf(answering(500, 'oops'))).toBe('other');
  expect(await refusalOf(answering(400, '{"code":"something_new"}'))).toBe('other');
  expect(await refusalOf(answering(502, '<html>'))).toBe('unreachable');
  expect(await refusalOf(answering(200, '{}'))).toBe('other');
  expect(await refusalOf(vi.fn<typeof fetch>(() => Promise.reject(new TypeError('failed'))))).toBe('unreachable');
});

test('a room is made with what was wished, or not at all where the server makes none', async () => {
  const wish = { title: 'Council', e2ee: true, policy: { lobby: true, password: 'p' } };
  const fetcher = answering(200, '{"room":"r","host_key":"k","title":"Council","e2ee":true}');
  await expect(makeRoom(wish, fetcher)).resolves.toEqual({ room: 'r', hostKey: 'k' });
  expect(fetcher.mock.calls[0]?.[0]).toBe('/api/rooms');
  expect(JSON.parse(String(fetcher.mock.calls[0]?.[1]?.body))).toEqual(wish);
  for (const status of [404, 405]) await expect(makeRoom(wish, answering(status, ''))).resolves.toBeUndefined();
  await expect(makeRoom(wish, answering(403, '{"code":"not_allowed"}'))).resolves.toBeUndefined();
  await expect(makeRoom(wish, answering(500, ''))).rejects.toMatchObject({ refusal: 'other' });
  await expect(makeRoom(wish, answering(200, '{"room":"r"}'))).rejects.toMatchObject({ refusal: 'other' });
});

test('what may be known before joining; nothing where the server says nothing', async () => {
  const fetcher = answering(200, '{"title":"T","e2ee":false,"password":true,"lobby":false,"locked":false,"people":3,"recording":true}');
  await expect(requestFacts('r/1', fetcher)).resolves.toEqual({
    title: 'T',
    e2ee: false,
    password: true,
    lobby: false,
    locked: false,
    people: 3,
    recording: true,
  });
  expect(fetcher.mock.calls[0]?.[0]).toBe('/api/rooms/r%2F1');
  const guarded = await requestFacts('r', answering(200, '{"title":null,"people":null,"lobby":true}'));
  expect(guarded).toMatchObject({ title: undefined, people: undefined, lobby: true });
  await expect(requestFacts('r', answering(404, ''))).resolves.toBeUndefined();
  await expect(requestFacts('r', answering(200, '<html>'))).resolves.toBeUndefined();
});
