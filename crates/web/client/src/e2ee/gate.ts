// SPDX-License-Identifier: EUPL-1.2
/**
 * Whether and how one may come into a room, as far as encryption goes: decided before anything is joined or sent.
 *
 * The link decides, not the server: with a key in the link nothing is ever sent in clear, whatever the server says of the room.
 * Otherwise a server could turn encryption off by claiming that there was none.
 */
import { keyOfFragment, type LinkKey } from './key.ts';

export type Gate =
  | { kind: 'clear' }
  | { kind: 'encrypted'; key: LinkKey }
  /** Not in. `no_key` and `broken_key`: the link is not whole. `unsupported`: this browser can't. */
  | { kind: 'refused'; reason: 'no_key' | 'broken_key' | 'unsupported' };

/** @param encrypted what the server says of the room; nothing where it could not be asked. */
export function gate(fragment: string, encrypted: boolean | undefined, able = canEncrypt()): Gate {
  const key = keyOfFragment(fragment);
  if (key === 'broken') return { kind: 'refused', reason: 'broken_key' };
  if (key === undefined) return encrypted === true ? { kind: 'refused', reason: 'no_key' } : { kind: 'clear' };
  return able ? { kind: 'encrypted', key } : { kind: 'refused', reason: 'unsupported' };
}

/** Whether this browser can encrypt what it sends and decrypt what it gets: all of these, or none of it. */
export function canEncrypt(browser: typeof globalThis = globalThis): boolean {
  const { RTCRtpSender: sender, Worker: worker, crypto } = browser as Partial<typeof globalThis>;
  const transforms = 'RTCRtpScriptTransform' in browser || (sender !== undefined && 'createEncodedStreams' in sender.prototype);
  return transforms && worker !== undefined && crypto?.subtle !== undefined;
}
