// SPDX-License-Identifier: EUPL-1.2
/**
 * Text that only those with the link's key can read. The server carries it as it carries any text, and bounds it as such.
 *
 * A sealed text is bound to who sent it: the server can't show Ada's words as Bo's. Anyone with the key could have written
 * it all the same: one key is shared by all.
 */
import { fromBase64Url, type LinkKey, toBase64Url } from './key.ts';
import { textKey } from './derive.ts';

const MARK = 'e1.';
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** Lengths are rounded up, so that "yes" and "no" look the same from outside. */
const PAD_BYTES = 32;
/** The server's bound for a message, in characters of the sealed form. */
const MAX_SEALED = 4_000;
/** The longest text, in bytes of UTF-8, whose sealed form is within that bound. One byte ends the text before the padding. */
export const MAX_TEXT_BYTES =
  Math.floor((Math.floor(((MAX_SEALED - MARK.length) * 3) / 4) - IV_BYTES - TAG_BYTES) / PAD_BYTES) * PAD_BYTES - 1;

export class TextSealer {
  readonly #key: Promise<CryptoKey>;

  constructor(key: LinkKey, room: string) {
    this.#key = textKey(key, room);
    this.#key.catch(() => undefined);
  }

  /** Seals what `from` (an identity) says; nothing where it is too long. */
  async seal(text: string, from: string): Promise<string | undefined> {
    const plain = new TextEncoder().encode(text);
    if (plain.length > MAX_TEXT_BYTES) return undefined;
    const padded = new Uint8Array(Math.ceil((plain.length + 1) / PAD_BYTES) * PAD_BYTES);
    padded.set(plain);
    padded[plain.length] = 1;
    const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
    const sealed = new Uint8Array(await crypto.subtle.encrypt(settings(iv, from), await this.#key, padded));
    const whole = new Uint8Array(IV_BYTES + sealed.length);
    whole.set(iv);
    whole.set(sealed, IV_BYTES);
    return MARK + toBase64Url(whole);
  }

  /** What `from` said; nothing where it is not sealed with this key, or not by this sender: then nothing of it may be shown. */
  async open(sealed: string, from: string): Promise<string | undefined> {
    if (!sealed.startsWith(MARK) || sealed.length > MAX_SEALED) return undefined;
    const whole = fromBase64Url(sealed.slice(MARK.length));
    if (whole === undefined || whole.length < IV_BYTES + TAG_BYTES) return undefined;
    try {
      const plain = await crypto.subtle.decrypt(settings(whole.slice(0, IV_BYTES), from), await this.#key, whole.slice(IV_BYTES));
      const padded = new Uint8Array(plain);
      const end = padded.lastIndexOf(1);
      return end < 0 ? undefined : new TextDecoder('utf-8', { fatal: true }).decode(padded.subarray(0, end));
    } catch {
      return undefined;
    }
  }
}

function settings(iv: Uint8Array<ArrayBuffer>, from: string): AesGcmParams {
  return { name: 'AES-GCM', iv, additionalData: new TextEncoder().encode(`parvis text from ${from}`) };
}
