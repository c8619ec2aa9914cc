// SPDX-License-Identifier: EUPL-1.2
import type { SharedFile } from '../meeting/files.ts';
import type { ChatEntry } from '../meeting/state.ts';

/** `joined`: by the same person just after the one before, so that the name need not stand there again. */
export type TimelineEntry = { key: string; message: ChatEntry; joined: boolean } | { key: string; file: SharedFile };

const JOINED_MS = 3 * 60_000;

/** Messages and files in the order in which they came. */
export function timeline(chat: readonly ChatEntry[], files: readonly SharedFile[]): TimelineEntry[] {
  const entries: TimelineEntry[] = [];
  let file = 0;
  let before: ChatEntry | undefined;
  const take = () => {
    const next = files[file++];
    if (next !== undefined) entries.push({ key: `file ${next.id}`, file: next });
    before = undefined;
  };
  for (const message of chat) {
    while (file < files.length && (files[file]?.at_ms ?? 0) < message.at_ms) take();
    const joined =
      before !== undefined &&
      before.from === message.from &&
      before.to === message.to &&
      message.reply_to === undefined &&
      message.at_ms - before.at_ms < JOINED_MS;
    entries.push({ key: `message ${message.id}`, message, joined });
    before = message;
  }
  while (file < files.length) take();
  return entries;
}
