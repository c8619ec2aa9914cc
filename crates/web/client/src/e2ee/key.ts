// SPDX-License-Identifier: EUPL-1.2
/**
 * The key of an encrypted meeting, as it stands in the meeting's link: `/r/ROOM#k=KEY`.
 *
 * A browser never sends what stands behind the `#`, and nothing of ours does either: no request, no message and no report
 * takes it from here. Whoever has the whole link has the key.
 */

/** 256 bits in 43 characters of base64url. */
export type LinkKey = string & { readonly linkKey: unique symbol };

const KEY_BYTES = 32;
/** 43 characters hold 258 bits: the last one has two to spare, and they are zero in what `newKey` makes. */
const FORM = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;

export function newKey(random: (bytes: Uint8Array<ArrayBuffer>) => void = (b) => void crypto.getRandomValues(b)): LinkKey {
  const bytes = new Uint8Array(KEY_BYTES);
  random(bytes);
  return toBase64Url(bytes) as LinkKey;
}

/** The key of a link's fragment; `'broken'` where there is one that was cut short or changed on its way. */
export function keyOfFragment(fragment: string): LinkKey | 'broken' | undefined {
  const value = new URLSearchParams(fragment.replace(/^#/, '')).get('k');
  if (value === null) return undefined;
  return FORM.test(value) ? (value as LinkKey) : 'broken';
}

/** What is put behind a room's path. */
export function fragmentOf(key: LinkKey): string {
  return `#k=${key}`;
}

export function bytesOf(key: LinkKey): Uint8Array<ArrayBuffer> {
  return fromBase64Url(key) ?? new Uint8Array(0);
}

export function toBase64Url(bytes: Uint8Array): string {
  // In pieces: a call takes only so many arguments.
  let text = '';
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

export function fromBase64Url(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[\w-]*$/.test(text)) return undefined;
  try {
    return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
  } catch {
    return undefined;
  }
}
