// SPDX-License-Identifier: EUPL-1.2
/**
 * What a screen reader says of the meeting: messages, hands, polls, knocks and what moderators do, gathered for a moment so that
 * twenty messages are one sentence.
 */
import type { MeetingState } from '../meeting/state.ts';
import { m } from '../messages/index.ts';
import { toastWords } from './words.ts';

type Watched = Pick<MeetingState, 'ready' | 'you' | 'chat' | 'hands' | 'polls' | 'lobby' | 'toasts'>;

export const GATHER_MS = 900;
/** A message longer than this is not read aloud unasked. */
const TEXT_AT_MOST = 200;

export class News {
  #before: Watched | undefined;
  #pending: Watched | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly say: (sentence: string) => void,
    private readonly nameOf: (identity: string) => string,
  ) {}

  /** Tells how things are now. What stands there at first is not news, but for what this person is told: that was said on the way here. */
  observe(now: Watched): void {
    if (!now.ready) return;
    this.#pending = now;
    const first = this.#before === undefined;
    this.#before ??= { ...now, toasts: [] };
    if (first ? now.toasts.length > 0 : now !== this.#before) this.#timer ??= setTimeout(() => this.#flush(), GATHER_MS);
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #flush(): void {
    this.#timer = undefined;
    const [before, now] = [this.#before, this.#pending];
    if (before === undefined || now === undefined) return;
    this.#before = now;
    const sentences = newsOf(before, now, this.nameOf);
    if (sentences.length > 0) this.say(sentences.join(' '));
  }
}

export function newsOf(before: Watched, now: Watched, nameOf: (identity: string) => string): string[] {
  const sentences: string[] = [];
  const toasts = added(before.toasts, now.toasts, (toast) => toast.key);
  for (const toast of toasts) sentences.push(toastWords(toast, nameOf));
  const knocks = added(before.lobby, now.lobby, (waiting) => waiting.id);
  const knock = knocks[0];
  if (knocks.length > 1) sentences.push(m.lobby_several_wait({ count: now.lobby.length }));
  else if (knock !== undefined) sentences.push(m.lobby_one_waits({ name: knock.name }));
  const last = before.chat.at(-1)?.id ?? 0;
  const messages = now.chat.filter(({ id, from, retracted }) => id > last && from !== now.you.identity && retracted === undefined);
  const message = messages[0];
  if (messages.length > 1) sentences.push(m.chat_news_several({ count: messages.length }));
  else if (message !== undefined) {
    const name = message.name === '' ? nameOf(message.from) : message.name;
    const readable = message.unreadable === undefined && message.text.length <= TEXT_AT_MOST;
    const words = message.to === undefined ? m.chat_news : m.chat_news_private;
    sentences.push(readable ? words({ name, text: message.text }) : m.chat_news_from({ name }));
  }
  const hands = added(before.hands, now.hands, (hand) => hand.identity).filter(({ identity }) => identity !== now.you.identity);
  const hand = hands[0];
  if (hands.length > 1) sentences.push(m.hand_news_several({ count: hands.length }));
  else if (hand !== undefined) sentences.push(m.hand_news({ name: hand.name || nameOf(hand.identity) }));
  for (const poll of added(before.polls, now.polls, (p) => p.id)) {
    if (poll.open && poll.by !== now.you.identity) sentences.push(m.poll_news_opened({ question: poll.question }));
  }
  for (const poll of now.polls) {
    const was = before.polls.find(({ id }) => id === poll.id);
    if (was?.open === true && !poll.open) sentences.push(m.poll_news_closed({ question: poll.question }));
  }
  return sentences;
}

function added<T, K>(before: readonly T[], now: readonly T[], key: (item: T) => K): T[] {
  const known = new Set(before.map(key));
  return now.filter((item) => !known.has(key(item)));
}
