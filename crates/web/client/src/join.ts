// SPDX-License-Identifier: EUPL-1.2
/** Asks the server for a place in a room. */

export interface Ticket {
  token: string;
  identity: string;
  room: string;
}

export type JoinRefusal = 'room_full' | 'draining' | 'bad_name' | 'not_allowed' | 'unreachable' | 'other';

export class JoinError extends Error {
  override readonly name = 'JoinError';

  constructor(readonly refusal: JoinRefusal, detail: string) {
    super(`joining was refused: ${detail}`);
  }
}

const KNOWN: readonly JoinRefusal[] = ['room_full', 'draining', 'bad_name', 'not_allowed'];
/** Longer than any answer takes on a network that can carry a call. */
const TIMEOUT_MS = 15_000;

export async function requestTicket(room: string, name: string, fetcher: typeof fetch = fetch): Promise<Ticket> {
  let response: Response;
  try {
    response = await fetcher(`/api/rooms/${encodeURIComponent(room)}/join`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name }),
      cache: 'no-store',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    throw new JoinError('unreachable', String(error));
  }
  const body = (await response.json().catch(() => undefined)) as Record<string, unknown> | undefined;
  if (!response.ok) {
    const code = KNOWN.find((known) => known === body?.code);
    if (code !== undefined) throw new JoinError(code, code);
    // A proxy in front of a server that is down answers for it.
    throw new JoinError(response.status >= 502 && response.status <= 504 ? 'unreachable' : 'other', `HTTP ${response.status}`);
  }
  if (typeof body?.token !== 'string') throw new JoinError('other', 'the answer holds no token');
  return { token: body.token, identity: String(body.identity ?? ''), room: String(body.room ?? room) };
}
