// SPDX-License-Identifier: EUPL-1.2
/**
 * What is made of the link's key: a key for media and data, one for text, and the safety code. Each has its own label, so that
 * none says anything of another, and all hang on the room: the same key in another room's link gives other keys.
 */
import { bytesOf, type LinkKey } from './key.ts';
import { WORDS } from './words.ts';

/** Eight words are 64 bits. */
const CODE_WORDS = 8;
/**
 * Someone who hands out two links, to sit between two halves of a meeting, would look for two keys with the same code: some
 * 2^32 tries. Each costs them so many rounds, and an honest client a fifth of a second.
 */
const CODE_ROUNDS = 200_000;

const utf8 = (text: string) => new TextEncoder().encode(text);

/** For the library, which derives once more by itself. */
export async function mediaSecret(key: LinkKey, room: string): Promise<ArrayBuffer> {
  const base = await crypto.subtle.importKey('raw', bytesOf(key), 'HKDF', false, ['deriveBits']);
  return crypto.subtle.deriveBits(labelled('media', room), base, 256);
}

/** For chat and other text that goes by way of the meeting's socket. */
export async function textKey(key: LinkKey, room: string): Promise<CryptoKey> {
  const base = await crypto.subtle.importKey('raw', bytesOf(key), 'HKDF', false, ['deriveKey']);
  return crypto.subtle.deriveKey(labelled('text', room), base, { name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt']);
}

/** The words that are the same for all who have the same key for the same room. They tell nothing of the key. */
export async function safetyCode(key: LinkKey, room: string): Promise<string[]> {
  const base = await crypto.subtle.importKey('raw', bytesOf(key), 'PBKDF2', false, ['deriveBits']);
  const salt = utf8(`parvis e2ee 1 code ${room}`);
  const bits = await crypto.subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-256', salt, iterations: CODE_ROUNDS }, base, CODE_WORDS * 8);
  return Array.from(new Uint8Array(bits), (byte) => WORDS[byte] ?? '');
}

function labelled(what: string, room: string): HkdfParams {
  return { name: 'HKDF', hash: 'SHA-256', salt: utf8(room), info: utf8(`parvis e2ee 1 ${what}`) };
}
