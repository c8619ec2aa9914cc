// SPDX-License-Identifier: EUPL-1.2
/** Keys that the user chose in place of those that are built in: kept in this browser, and never two for the same. */
import { type Action, type Press, type Shortcut, SHORTCUTS } from './shortcuts.ts';

export type Keys = Omit<Shortcut, 'action'>;
/** As they are kept: "ctrl+shift+h". */
export type OwnKeys = Partial<Record<Action, string>>;

/** Why keys can't be had: another action has them, the browser does, or they would be typed. */
export type Refused = { why: 'taken'; by: Action } | { why: 'browser' } | { why: 'typed' };

const FUNCTION_KEY = /^f([1-9]|1[0-2])$/;
/** What browsers keep for themselves whatever a page says, and what nobody wants to lose: copying, pasting, finding, help, full screen. */
const OF_BROWSERS = new Set([
  ...['a', 'c', 'f', 'l', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w', 'x', 'z', 'tab', 'f4', 'f5'].map((key) => `ctrl+${key}`),
  ...['c', 'i', 'j', 'n', 'q', 'r', 't', 'v', 'w', 'z', 'tab'].map((key) => `ctrl+shift+${key}`),
  ...['f1', 'f3', 'f5', 'f6', 'f7', 'f10', 'f11', 'f12'],
]);
const MODIFIERS = ['control', 'shift', 'alt', 'altgraph', 'meta', 'capslock', 'dead', 'process', 'unidentified'];

export function textOf({ key, ctrl, shift }: Keys): string {
  return `${ctrl ? 'ctrl+' : ''}${shift ? 'shift+' : ''}${key}`;
}

/** The keys in force: those that are built in, but for what the user chose. What can't be had is left as it is built. */
export function withOwn(own: OwnKeys): Shortcut[] {
  const chosen = SHORTCUTS.map((built) => {
    const keys = readKeys(own[built.action]);
    return keys === undefined ? built : { action: built.action, ...keys };
  });
  const texts = chosen.map(textOf);
  // Two for the same, written by hand or by another version: nobody could tell which it is.
  return new Set(texts).size === texts.length ? chosen : [...SHORTCUTS];
}

/** What was pressed; nothing while only Ctrl or Shift is down. */
export function keysOf(press: Pick<Press, 'key' | 'ctrlKey' | 'metaKey' | 'shiftKey'>): Keys | undefined {
  const key = press.key.toLowerCase();
  if (MODIFIERS.includes(key)) return undefined;
  return { key: key === '+' ? 'plus' : key, ctrl: press.ctrlKey || press.metaKey, shift: press.shiftKey };
}

/** Whether an action can have these keys, with all others as they are. */
export function refused(keys: Keys, action: Action, shortcuts: readonly Shortcut[]): Refused | undefined {
  if (!isKeys(keys)) return { why: 'typed' };
  const text = textOf(keys);
  const other = shortcuts.find((each) => each.action !== action && textOf(each) === text);
  if (other !== undefined) return { why: 'taken', by: other.action };
  const built = SHORTCUTS.find((each) => each.action === action);
  return OF_BROWSERS.has(text) && (built === undefined || textOf(built) !== text) ? { why: 'browser' } : undefined;
}

/** As they are after a choice: what is as it is built is not kept. */
export function choose(own: OwnKeys, action: Action, keys: Keys): OwnKeys {
  const { [action]: _, ...others } = own;
  const built = SHORTCUTS.find((each) => each.action === action);
  const text = textOf(keys);
  return built !== undefined && textOf(built) === text ? others : { ...others, [action]: text };
}

/** What was kept, as far as it is of the form. */
export function readOwn(stored: unknown): OwnKeys {
  if (typeof stored !== 'object' || stored === null) return {};
  const own: OwnKeys = {};
  for (const { action } of SHORTCUTS) {
    const text = (stored as Record<string, unknown>)[action];
    if (typeof text === 'string' && readKeys(text) !== undefined) own[action] = text;
  }
  return own;
}

function readKeys(text: string | undefined): Keys | undefined {
  const found = /^(ctrl\+)?(shift\+)?([^+\s]{1,12})$/.exec(text ?? '');
  const keys = found === null ? undefined : { key: found[3] ?? '', ctrl: found[1] !== undefined, shift: found[2] !== undefined };
  return keys !== undefined && isKeys(keys) ? keys : undefined;
}

/** A character or a key with a name, with Ctrl; a function key without it too. */
function isKeys({ key, ctrl }: Keys): boolean {
  if (['escape', 'enter', 'tab', ' ', 'backspace', 'delete'].includes(key)) return false;
  return ctrl ? key !== '' : FUNCTION_KEY.test(key);
}
