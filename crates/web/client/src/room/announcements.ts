// SPDX-License-Identifier: EUPL-1.2
/** What a screen reader says about who comes and goes: gathered for a moment, so that fifty arrivals are one sentence. */
import { listed } from '../messages/format.ts';
import { m } from '../messages/index.ts';
import { Store } from '../store.ts';

export interface Someone {
  identity: string;
  name: string;
  isLocal: boolean;
}

/** Long enough to gather a group, short enough to be news. */
export const GATHER_MS = 900;
/** More names than these are a number. */
const NAMES_AT_MOST = 3;

export class Announcements extends Store<string> {
  #known: Map<string, string> | undefined;
  readonly #joined = new Map<string, string>();
  readonly #left = new Map<string, string>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super('');
  }

  /** Tells who is there now. The first call is the state on arrival, which is not news. */
  observe(people: readonly Someone[]): void {
    const now = new Map(people.filter((p) => !p.isLocal).map((p) => [p.identity, p.name]));
    const before = this.#known;
    this.#known = now;
    if (before === undefined) return;
    for (const [identity, name] of now) {
      // Gone and back within the moment: nothing happened.
      if (!before.has(identity) && !this.#left.delete(identity)) this.#joined.set(identity, name);
    }
    for (const [identity, name] of before) {
      if (!now.has(identity) && !this.#joined.delete(identity)) this.#left.set(identity, name);
    }
    if (this.#joined.size + this.#left.size > 0) {
      this.#timer ??= setTimeout(() => this.#flush(), GATHER_MS);
    }
  }

  say(sentence: string): void {
    // The same words again are not a change of the live region's content, unless it was empty in between.
    this.set('');
    this.set(sentence);
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #flush(): void {
    this.#timer = undefined;
    const sentences = [
      sentence([...this.#joined.values()], m.joined, m.joined_several, m.joined_many),
      sentence([...this.#left.values()], m.left, m.left_several, m.left_many),
    ].filter((s) => s !== undefined);
    this.#joined.clear();
    this.#left.clear();
    if (sentences.length > 0) this.say(sentences.join(' '));
  }
}

function sentence(
  names: string[],
  one: (p: { name: string }) => string,
  several: (p: { names: string }) => string,
  many: (p: { count: number }) => string,
): string | undefined {
  const first = names[0];
  if (first === undefined) return undefined;
  if (names.length === 1) return one({ name: first });
  return names.length <= NAMES_AT_MOST ? several({ names: listed(names) }) : many({ count: names.length });
}
