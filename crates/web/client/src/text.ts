// SPDX-License-Identifier: EUPL-1.2
/** Text that other people chose. It is only ever shown as text; this keeps it from breaking what stands around it. */

/** What a name may have; the server's limit is the same. */
export const MAX_NAME_LENGTH = 64;

/** Control characters, and those that turn the direction of the text after them (CVE-2021-42574 and its kin). */
const UNPRINTABLE = /[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;

export function cleanName(name: string): string {
  return cleanLine(name, MAX_NAME_LENGTH);
}

/** One line of at most so many characters. */
export function cleanLine(text: string, most: number): string {
  const clean = text.replace(UNPRINTABLE, ' ').replace(/\s+/g, ' ').trim();
  // By code point, so that no character is cut in two.
  return Array.from(clean).slice(0, most).join('').trim();
}

/** The same for a text of several lines, whose ends and indents are its author's. */
export function cleanText(text: string): string {
  const lines = text.replace(/\r\n?/g, '\n').split('\n');
  return lines.map((line) => line.replace(UNPRINTABLE, (unseen) => (unseen === '\t' ? unseen : ' '))).join('\n').trim();
}

/** One or two letters that stand for a person without a picture; none where the name has no letter. */
export function initials(name: string): string {
  const words = cleanName(name).split(' ').filter((word) => /[\p{L}\p{N}]/u.test(word));
  const first = words[0];
  if (first === undefined) return '';
  const last = words.length > 1 ? words[words.length - 1] : undefined;
  const letter = (word: string | undefined) => (word?.match(/[\p{L}\p{N}]/u)?.[0] ?? '').toLocaleUpperCase();
  return letter(first) + letter(last);
}

/** A number from 0 to `count - 1` that stays the same for the same text: the colour of a person. */
export function toneOf(text: string, count: number): number {
  let hash = 2166136261;
  for (const unit of text) hash = Math.imul(hash ^ (unit.codePointAt(0) ?? 0), 16777619) >>> 0;
  return hash % count;
}
