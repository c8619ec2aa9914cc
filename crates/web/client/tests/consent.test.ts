// SPDX-License-Identifier: EUPL-1.2
import { expect, test, vi } from 'vitest';
import { requestConsent } from '../src/consent.ts';

const TICKET = { token: 't', identity: 'i', room: 'a b/c' };
const answering = (status: number, body: string) => vi.fn<typeof fetch>(async () => new Response(body, { status }));

test('an answer goes to the room’s own address, with the token that opened it', async () => {
  const fetcher = answering(200, '{"asked":true,"recording":false}');
  await expect(requestConsent(TICKET, false, fetcher)).resolves.toBe('refused');
  const [path, init] = fetcher.mock.calls[0] ?? [];
  expect(path).toBe('/api/rooms/a%20b%2Fc/consent');
  expect(init).toMatchObject({ method: 'POST', body: '{"recording":false}', headers: { authorization: 'Bearer t' } });
});

test('asking changes nothing', async () => {
  const fetcher = answering(200, '{"asked":true,"recording":null}');
  await expect(requestConsent(TICKET, undefined, fetcher)).resolves.toBe('asked');
  const [, init] = fetcher.mock.calls[0] ?? [];
  expect(init?.method).toBeUndefined();
  expect(init?.body).toBeUndefined();
  await expect(requestConsent(TICKET, undefined, answering(200, '{"asked":false,"recording":true}'))).resolves.toBeUndefined();
  await expect(requestConsent(TICKET, undefined, answering(200, '{"asked":true,"recording":true}'))).resolves.toBe('given');
});

test('a refusal is an error', async () => {
  await expect(requestConsent(TICKET, true, answering(404, '{"code":"not_there"}'))).rejects.toThrow('404');
});
