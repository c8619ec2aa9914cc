// SPDX-License-Identifier: EUPL-1.2
/** Joins the keyboard to the call: shortcuts, and Space held to talk. */
import { type Action, actionOf, isTyping, type Shortcut, usesSpace } from './shortcuts.ts';
import { HoldToTalk, type Switchable } from './talk.ts';

export interface Keys {
  /** Whether they were switched off. */
  on(): boolean;
  microphone: Switchable;
  /** While Space is held. */
  talking(yes: boolean): void;
  act(action: Action): void;
  /** Those in force; without it, those that are built in. */
  shortcuts?(): readonly Shortcut[];
}

/** Until the returned function is called. */
export function listenToKeys(keys: Keys, target: Pick<Window, 'addEventListener' | 'removeEventListener'> = window): () => void {
  const talk = new HoldToTalk(keys.microphone);
  const end = () => {
    if (talk.up()) keys.talking(false);
  };
  const down = (event: KeyboardEvent) => {
    if (!keys.on() || event.defaultPrevented) return;
    if (event.key === ' ') {
      const bare = !event.ctrlKey && !event.metaKey && !event.altKey && !event.shiftKey;
      // What Space works keeps it, unless it is held already.
      if (!bare || (!talk.held && (isTyping(event.target) || usesSpace(event.target)))) return;
      const before = talk.held;
      if (!talk.down(event.repeat)) return;
      event.preventDefault();
      if (!before) keys.talking(true);
      return;
    }
    const action = actionOf(event, keys.shortcuts?.());
    if (action === undefined) return;
    // Or the browser would bookmark the page, or open its search.
    event.preventDefault();
    keys.act(action);
  };
  const up = (event: KeyboardEvent) => {
    if (event.key !== ' ' || !talk.held) return;
    event.preventDefault();
    end();
  };
  target.addEventListener('keydown', down);
  target.addEventListener('keyup', up);
  target.addEventListener('blur', end);
  return () => {
    end();
    target.removeEventListener('keydown', down);
    target.removeEventListener('keyup', up);
    target.removeEventListener('blur', end);
  };
}
