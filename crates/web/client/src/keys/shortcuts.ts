// SPDX-License-Identifier: EUPL-1.2
/**
 * The keys of the call, which the user may change. All but function keys, Space and `?` want Ctrl (on a Mac, Command or Ctrl), so that no
 * letter alone does anything.
 */

export type Action =
  | 'microphone'
  | 'camera'
  | 'hand'
  | 'chat'
  | 'people'
  | 'reactions'
  | 'fullscreen'
  | 'bar'
  | 'view'
  | 'help';

export interface Shortcut {
  action: Action;
  /** `KeyboardEvent.key`, in lower case. */
  key: string;
  ctrl: boolean;
  shift: boolean;
}

const plain = (action: Action, key: string): Shortcut => ({ action, key, ctrl: false, shift: false });
const ctrl = (action: Action, key: string): Shortcut => ({ action, key, ctrl: true, shift: false });
const ctrlShift = (action: Action, key: string): Shortcut => ({ action, key, ctrl: true, shift: true });

export const SHORTCUTS: readonly Shortcut[] = [
  ctrl('microphone', 'd'),
  ctrl('camera', 'e'),
  ctrlShift('hand', 'h'),
  ctrlShift('chat', 'm'),
  ctrlShift('people', 'p'),
  ctrlShift('reactions', 'e'),
  ctrlShift('view', 'l'),
  ctrlShift('fullscreen', 'f'),
  plain('bar', 'f2'),
  ctrlShift('help', '/'),
];

export type Press = Pick<
  KeyboardEvent,
  'key' | 'code' | 'ctrlKey' | 'metaKey' | 'altKey' | 'shiftKey' | 'repeat' | 'isComposing' | 'target'
>;

/** What a press asks for; nothing while the user types. */
export function actionOf(press: Press, shortcuts: readonly Shortcut[] = SHORTCUTS): Action | undefined {
  if (press.isComposing || press.repeat || press.altKey) return undefined;
  const key = press.key.toLowerCase();
  const control = press.ctrlKey || press.metaKey;
  const found = shortcuts.find((each) => matches(each, key, press.code, control, press.shiftKey));
  if (found !== undefined) return control || !isTyping(press.target) ? found.action : undefined;
  // `?` is Shift and another key on most keyboards, and not on all.
  return press.key === '?' && !control && !isTyping(press.target) ? 'help' : undefined;
}

function matches(shortcut: Shortcut, key: string, code: string, control: boolean, shift: boolean): boolean {
  if (shortcut.ctrl !== control || shortcut.shift !== shift) return false;
  // With Shift, the slash is another character: `?` where it is on that key, `:` or `_` elsewhere.
  if (shortcut.key === '/') return key === '/' || key === '?' || code === 'Slash';
  return shortcut.key === (key === '+' ? 'plus' : key);
}

/** Whether a key pressed there writes something, or works the control itself. */
export function isTyping(target: unknown): boolean {
  const element = target as { tagName?: string; type?: string; isContentEditable?: boolean } | null;
  if (element === null || typeof element !== 'object') return false;
  if (element.isContentEditable === true) return true;
  const tag = element.tagName?.toUpperCase();
  if (tag === 'TEXTAREA' || tag === 'SELECT') return true;
  return tag === 'INPUT' && !['button', 'checkbox', 'radio', 'range', 'submit', 'reset'].includes(element.type ?? 'text');
}

/** Space works buttons and the like: there it is not for talking. */
export function usesSpace(target: unknown): boolean {
  const element = target as { tagName?: string; getAttribute?: (name: string) => string | null } | null;
  if (element === null || typeof element !== 'object') return false;
  const tag = element.tagName?.toUpperCase() ?? '';
  const role = element.getAttribute?.('role') ?? '';
  return (
    ['BUTTON', 'A', 'SUMMARY', 'SELECT', 'INPUT', 'VIDEO', 'AUDIO', 'DIALOG'].includes(tag) ||
    ['button', 'menuitem', 'menuitemcheckbox', 'menuitemradio', 'checkbox', 'radio', 'switch', 'tab', 'option', 'slider'].includes(role)
  );
}
