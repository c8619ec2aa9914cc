// SPDX-License-Identifier: EUPL-1.2
import { expect, test, vi } from 'vitest';
import { JoinError, requestTicket } from '../src/join.ts';

const answering = (status: number, body: string) => vi.fn<typeof fetch>(async () => new Response(body, { status }));

async function refusalOf(fetcher: typeof fetch): Promise<string> {
  const error = await requestTicket('abc', 'Ada', fetcher).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(JoinError);
  return (error as JoinError).refusal;
}

test('the name goes to the room’s own address, and the token comes back', async () => {
  const fetcher = answering(200, '{"token":"t","identity":"i","room":"a b"}');
  await expect(requestTicket('a b/c', 'Ada', fetcher)).resolves.toEqual({ token: 't', identity: 'i', room: 'a b' });
  const [path, init] = fetcher.mock.calls[0] ?? [];
  expect(path).toBe('/api/rooms/a%20b%2Fc/join');
  expect(init?.method).toBe('POST');
  expect(JSON.parse(String(init?.body))).toEqual({ name: 'Ada' });
});

test.each(['room_full', 'draining', 'bad_name', 'not_allowed'])('the server’s code %s is kept', async (code) => {
  expect(await refusalOf(answering(403, JSON.stringify({ code, message: '' })))).toBe(code);
});

test('other failures are the server’s or the network’s', async () => {
  expect(await refusalOf(answering(500, 'oops'))).toBe('other');
  expect(await refusalOf(answering(400, '{"code":"something_new"}'))).toBe('other');
  expect(await refusalOf(answering(502, '<html>'))).toBe('unreachable');
  expect(await refusalOf(answering(200, '{}'))).toBe('other');
  expect(await refusalOf(vi.fn<typeof fetch>(() => Promise.reject(new TypeError('failed'))))).toBe('unreachable');
});
