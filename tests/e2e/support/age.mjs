// SPDX-License-Identifier: EUPL-1.2
// A pair of age's keys (https://age-encryption.org/v1), as age-keygen makes them: X25519 in bech32 (BIP 173).
import { generateKeyPairSync } from 'node:crypto';

const ALPHABET = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];

function checksum(values) {
  let sum = 1;
  for (const value of values) {
    const top = sum >>> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ value;
    GENERATOR.forEach((term, bit) => { if ((top >>> bit) & 1) sum ^= term; });
  }
  return sum >>> 0;
}

function bech32(prefix, bytes) {
  const words = [];
  let held = 0, bits = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      words.push((held >>> bits) & 31);
    }
    held &= (1 << bits) - 1;
  }
  if (bits > 0) words.push((held << (5 - bits)) & 31);
  const letters = [...prefix].map((letter) => letter.charCodeAt(0));
  const expanded = [...letters.map((code) => code >>> 5), 0, ...letters.map((code) => code & 31)];
  const sum = checksum([...expanded, ...words, 0, 0, 0, 0, 0, 0]) ^ 1;
  const tail = [0, 1, 2, 3, 4, 5].map((place) => (sum >>> (5 * (5 - place))) & 31);
  return `${prefix}1${[...words, ...tail].map((word) => ALPHABET[word]).join('')}`;
}

/** Whom recordings are sealed for, and the file that opens them. */
export function ageKeys() {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  const bytes = (key, part) => Buffer.from(key.export({ format: 'jwk' })[part], 'base64url');
  return {
    recipient: bech32('age', bytes(publicKey, 'x')),
    identity: `${bech32('age-secret-key-', bytes(privateKey, 'd')).toUpperCase()}\n`,
  };
}
