// SPDX-License-Identifier: EUPL-1.2
/** Rooms and their links. Whoever has the link may come in: it must not be guessable. */

export type Route =
  | { page: 'home' }
  | { page: 'room'; room: string }
  | { page: 'live'; key: string }
  | { page: 'check' }
  | { page: 'accessibility' }
  | { page: 'unknown' };

/** Letters and digits that are not mistaken for each other when read aloud (Crockford's base 32). */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
/** 26 characters of 5 bits: 130 bits. */
const NAME_LENGTH = 26;
/** The server's own limit; a longer one is no link of ours. */
const MAX_NAME_LENGTH = 256;

export function newRoomName(random: (bytes: Uint8Array<ArrayBuffer>) => void = (b) => void crypto.getRandomValues(b)): string {
  const bytes = new Uint8Array(NAME_LENGTH);
  random(bytes);
  // 256 is a multiple of 32: the low five bits of a uniform byte are uniform.
  return Array.from(bytes, (byte) => ALPHABET.charAt(byte & 31)).join('');
}

export function pathOfRoom(room: string): string {
  return `/r/${encodeURIComponent(room)}`;
}

export function parseRoute(path: string): Route {
  if (path === '/' || path === '') return { page: 'home' };
  if (path === '/check') return { page: 'check' };
  if (path === '/accessibility') return { page: 'accessibility' };
  const key = /^\/live\/([\w-]+)\/?$/.exec(path)?.[1];
  if (key !== undefined) return { page: 'live', key };
  const room = roomOfPath(path);
  return room === undefined ? { page: 'unknown' } : { page: 'room', room };
}

/**
 * The room that a pasted text means: a link to this server, its path, or the bare name.
 * A link to another server is `'elsewhere'`: it can't be opened from here, and saying so helps more than failing.
 */
export function roomOfInput(text: string, origin: string): string | 'elsewhere' | undefined {
  const input = text.trim();
  if (input === '') return undefined;
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(input)) {
    const url = URL.canParse(input) ? new URL(input) : undefined;
    if (url === undefined) return undefined;
    return url.origin === origin ? roomOfPath(url.pathname) : 'elsewhere';
  }
  const host = new URL(origin).host;
  const path = input.replace(/[?#].*$/s, '');
  if (path.startsWith(`${host}/`)) return roomOfPath(path.slice(host.length));
  if (path.startsWith('/')) return roomOfPath(path);
  return /^[\w-]+$/.test(input) && input.length <= MAX_NAME_LENGTH ? input : undefined;
}

/** What a pasted link has behind its path, from the `#` on: in an encrypted meeting, the key. */
export function fragmentOfInput(text: string): string {
  return /#\S*/.exec(text.trim())?.[0] ?? '';
}

function roomOfPath(path: string): string | undefined {
  const match = /^\/r\/([^/]+)\/?$/.exec(path);
  if (match?.[1] === undefined) return undefined;
  try {
    const room = decodeURIComponent(match[1]);
    return room.length <= MAX_NAME_LENGTH ? room : undefined;
  } catch {
    return undefined;
  }
}
