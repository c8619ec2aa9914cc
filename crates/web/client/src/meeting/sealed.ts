// SPDX-License-Identifier: EUPL-1.2
/**
 * What people say in an encrypted meeting besides its chat: polls, reactions, announcements to all breakout rooms. Each is sealed for what
 * it is, and bound to who said it, so that the server can show none of them as something else, or as somebody else's.
 *
 * The question and the answers of a poll are sealed as one text. What the server counts are the numbers of answers, in an order that is
 * sealed with them.
 */
import { REACTION_EMOJI } from './emoji.ts';
import type { Poll } from './protocol.ts';

/** Text that only those with the room's key can read. Nothing: too long to be sealed; sealed with another key, or not by `from`. */
export interface Cipher {
  seal(text: string, by: string): Promise<string | undefined>;
  open(sealed: string, from: string): Promise<string | undefined>;
}

export interface NewPoll {
  question: string;
  options: string[];
  secret: boolean;
  multiple: boolean;
}

type What = 'poll' | 'reaction' | 'announcement';

/** Identities are of one line: this is nobody's, so that no chat message passes for one of these. */
const label = (what: What, who: string) => `${who}\n${what}`;

export async function sealPoll(cipher: Cipher, poll: NewPoll, by: string): Promise<NewPoll | undefined> {
  const { question, options } = poll;
  const sealed = await cipher.seal(JSON.stringify([question, ...options]), label('poll', by));
  return sealed === undefined ? undefined : { ...poll, question: sealed, options: options.map((_, index) => String(index + 1)) };
}

/** The poll as it can be read; one that cannot is marked, and has nothing but the numbers of its answers. */
export async function openPoll(cipher: Cipher, poll: Poll): Promise<Poll> {
  const text = await cipher.open(poll.question, label('poll', poll.by)).catch(() => undefined);
  const [question, ...options] = text === undefined ? [] : textsOf(text);
  if (question === undefined || options.length !== poll.options.length) {
    return { ...poll, question: '', options: poll.options.map((_, index) => String(index + 1)), unreadable: true };
  }
  return { ...poll, question, options };
}

export const sealReaction = (cipher: Cipher, emoji: string, by: string) => cipher.seal(emoji, label('reaction', by));

/** One of the signs there are, or nothing: whoever has the key sends no words by this way either. */
export async function openReaction(cipher: Cipher, sealed: string, from: string): Promise<string | undefined> {
  const emoji = await cipher.open(sealed, label('reaction', from)).catch(() => undefined);
  return REACTION_EMOJI.find((known) => known === emoji);
}

export const sealAnnouncement = (cipher: Cipher, text: string, by: string) => cipher.seal(text, label('announcement', by));

export const openAnnouncement = (cipher: Cipher, sealed: string, from: string) =>
  cipher.open(sealed, label('announcement', from)).catch(() => undefined);

function textsOf(json: string): string[] {
  try {
    const read: unknown = JSON.parse(json);
    return Array.isArray(read) && read.every((item) => typeof item === 'string') ? (read as string[]) : [];
  } catch {
    return [];
  }
}
