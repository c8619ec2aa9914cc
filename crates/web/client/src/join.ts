// SPDX-License-Identifier: EUPL-1.2
/** Asks the server for a place in a room, for a room, and for what may be known of one before joining. */
import { json, readReason, readRole, type Json, type PolicyChange, type Role, type WaitReason } from './meeting/protocol.ts';

export interface Ticket {
  token: string;
  identity: string;
  room: string;
}

/** In, with a ticket; or outside, with the secret of the place in the lobby. */
export type Entry =
  | { in: Ticket; seat: string | undefined; role: Role }
  | { waiting: string; seat: string | undefined; reason: WaitReason };

export interface Asking {
  name: string;
  password?: string;
  hostKey?: string;
  seat?: string;
}

/** What the link alone tells. */
export interface Facts {
  title: string | undefined;
  e2ee: boolean;
  password: boolean;
  lobby: boolean;
  locked: boolean;
  people: number | undefined;
  recording: boolean;
}

export interface Made {
  room: string;
  hostKey: string;
}

/** `declined`, `ended`: what those inside, or the end of the meeting, made of waiting in the lobby. */
export type JoinRefusal =
  | 'room_full'
  | 'draining'
  | 'bad_name'
  | 'not_allowed'
  | 'password_needed'
  | 'password_wrong'
  | 'locked'
  | 'banned'
  | 'declined'
  | 'ended'
  | 'unreachable'
  | 'other';

export class JoinError extends Error {
  override readonly name = 'JoinError';

  constructor(readonly refusal: JoinRefusal, detail: string) {
    super(`joining was refused: ${detail}`);
  }
}

const KNOWN: readonly JoinRefusal[] = [
  'room_full',
  'draining',
  'bad_name',
  'not_allowed',
  'password_needed',
  'password_wrong',
  'locked',
  'banned',
];
/** Trying again changes nothing: whoever was connected before is out as well. */
const FINAL: readonly string[] = ['bad_name', 'not_allowed', 'locked', 'banned', 'declined', 'ended'];
/** Longer than any answer takes on a network that can carry a call. */
const TIMEOUT_MS = 15_000;

export function isFinal(refusal: string): boolean {
  return FINAL.includes(refusal);
}

export async function requestEntry(room: string, asking: Asking, fetcher: typeof fetch = fetch): Promise<Entry> {
  const { name, password, hostKey, seat } = asking;
  const body = await post(`${pathOf(room)}/join`, { name, password, host_key: hostKey, seat }, fetcher);
  const own = typeof body?.seat === 'string' ? body.seat : undefined;
  if (typeof body?.waiting === 'string') return { waiting: body.waiting, seat: own, reason: readReason(body.reason) };
  if (typeof body?.token !== 'string') throw new JoinError('other', 'the answer holds no token');
  const ticket = { token: body.token, identity: String(body.identity ?? ''), room: String(body.room ?? room) };
  return { in: ticket, seat: own, role: readRole(body.role) };
}

/** Nothing where the server can't tell: the page goes on without. */
export async function requestFacts(room: string, fetcher: typeof fetch = fetch): Promise<Facts | undefined> {
  try {
    const response = await fetcher(pathOf(room), { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) });
    const body = response.ok ? json(await response.json()) : undefined;
    if (body === undefined) return undefined;
    return {
      title: typeof body.title === 'string' && body.title !== '' ? body.title : undefined,
      e2ee: body.e2ee === true,
      password: body.password === true,
      lobby: body.lobby === true,
      locked: body.locked === true,
      people: typeof body.people === 'number' ? body.people : undefined,
      recording: body.recording === true,
    };
  } catch {
    return undefined;
  }
}

/** Makes a room. Nothing where this server makes none: there a link alone is a room, without an owner. */
export async function makeRoom(
  wish: { title: string; e2ee: boolean; policy: PolicyChange },
  fetcher: typeof fetch = fetch,
): Promise<Made | undefined> {
  let body: Json | undefined;
  try {
    body = await post('/api/rooms', { title: wish.title === '' ? undefined : wish.title, e2ee: wish.e2ee, policy: wish.policy }, fetcher);
  } catch (error) {
    if (error instanceof JoinError && error.refusal === 'not_allowed') return undefined;
    throw error;
  }
  if (typeof body?.room !== 'string' || typeof body.host_key !== 'string') {
    throw new JoinError('other', 'the answer holds no room');
  }
  return { room: body.room, hostKey: body.host_key };
}

function pathOf(room: string): string {
  return `/api/rooms/${encodeURIComponent(room)}`;
}

async function post(path: string, body: Json, fetcher: typeof fetch): Promise<Json | undefined> {
  let response: Response;
  try {
    response = await fetcher(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      cache: 'no-store',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    throw new JoinError('unreachable', String(error));
  }
  const answer = json(await response.json().catch(() => undefined));
  if (response.ok) return answer;
  const code = KNOWN.find((known) => known === answer?.code);
  if (code !== undefined) throw new JoinError(code, code);
  // A server without this route, or one that keeps it to itself.
  if (response.status === 404 || response.status === 405) throw new JoinError('not_allowed', `HTTP ${response.status}`);
  // A proxy in front of a server that is down answers for it.
  throw new JoinError(response.status >= 502 && response.status <= 504 ? 'unreachable' : 'other', `HTTP ${response.status}`);
}
