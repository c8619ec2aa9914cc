// SPDX-License-Identifier: EUPL-1.2
import { describe, expect, test } from 'vitest';
import { listenToKeys } from '../src/keys/listen.ts';
import { type Action, actionOf, type Press, SHORTCUTS } from '../src/keys/shortcuts.ts';
import { choose, keysOf, readOwn, refused, textOf, withOwn } from '../src/keys/own.ts';
import { HoldToTalk } from '../src/keys/talk.ts';

const press = (key: string, change: Partial<Press> = {}): Press => ({
  key, code: '', ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, repeat: false, isComposing: false, target: null, ...change,
});
const INPUT = { tagName: 'INPUT', type: 'text' } as unknown as EventTarget;

describe('shortcuts', () => {
  test('are what the list says, with Ctrl or with Command', () => {
    expect(SHORTCUTS.length).toBeGreaterThanOrEqual(10);
    for (const { action, key, ctrl, shift } of SHORTCUTS) {
      expect(actionOf(press(key, { ctrlKey: ctrl, shiftKey: shift }))).toBe(action);
      if (ctrl) expect(actionOf(press(key.toUpperCase(), { metaKey: true, shiftKey: shift }))).toBe(action);
    }
  });

  test('no two have the same keys', () => {
    const all = SHORTCUTS.map(({ key, ctrl, shift }) => `${key} ${ctrl} ${shift}`);
    expect(new Set(all).size).toBe(all.length);
  });

  test('are no letter alone, nothing with Alt, nothing that repeats or is being composed', () => {
    for (const key of 'abcdefghijklmnopqrstuvwxyz0123456789/') expect(actionOf(press(key))).toBeUndefined();
    expect(actionOf(press('d', { ctrlKey: true, altKey: true }))).toBeUndefined();
    expect(actionOf(press('d', { ctrlKey: true, repeat: true }))).toBeUndefined();
    expect(actionOf(press('d', { ctrlKey: true, isComposing: true }))).toBeUndefined();
    expect(actionOf(press('d', { ctrlKey: true, shiftKey: true }))).toBeUndefined();
  });

  test('leave what is typed alone: a question mark in a text is one', () => {
    expect(actionOf(press('?', { shiftKey: true }))).toBe('help');
    expect(actionOf(press('?', { shiftKey: true, target: INPUT }))).toBeUndefined();
    expect(actionOf(press('F2', { target: INPUT }))).toBeUndefined();
    expect(actionOf(press('d', { ctrlKey: true, target: INPUT }))).toBe('microphone');
    expect(actionOf(press('?', { target: { tagName: 'DIV', isContentEditable: true } as unknown as EventTarget }))).toBeUndefined();
  });

  test('find the list of keys on keyboards where Shift makes another character of the slash', () => {
    expect(actionOf(press('?', { ctrlKey: true, shiftKey: true }))).toBe('help');
    expect(actionOf(press('_', { ctrlKey: true, shiftKey: true, code: 'Slash' }))).toBe('help');
  });
});

describe('keys of one’s own', () => {
  const keys = (key: string, ctrl = true, shift = false) => ({ key, ctrl, shift });

  test('take the place of the built-in ones, which do nothing any more', () => {
    const own = choose({}, 'microphone', keys('m'));
    expect(own).toEqual({ microphone: 'ctrl+m' });
    const shortcuts = withOwn(own);
    expect(actionOf(press('m', { ctrlKey: true }), shortcuts)).toBe('microphone');
    expect(actionOf(press('d', { ctrlKey: true }), shortcuts)).toBeUndefined();
    expect(actionOf(press('e', { ctrlKey: true }), shortcuts)).toBe('camera');
    expect(choose(own, 'microphone', keys('d')), 'as it is built is nothing of one’s own').toEqual({});
  });

  test('are refused with the reason where they have a use, are the browser’s, or would be typed', () => {
    const own = choose({}, 'hand', keys('k'));
    const shortcuts = withOwn(own);
    expect(refused(keys('e'), 'microphone', shortcuts)).toEqual({ why: 'taken', by: 'camera' });
    expect(refused(keys('k'), 'microphone', shortcuts)).toEqual({ why: 'taken', by: 'hand' });
    expect(refused(keys('k'), 'hand', shortcuts), 'its own').toBeUndefined();
    expect(refused(keys('h', true, true), 'microphone', shortcuts), 'free again').toBeUndefined();
    for (const text of ['w', 't', 'c', 'v']) expect(refused(keys(text), 'microphone', shortcuts)).toEqual({ why: 'browser' });
    expect(refused(keys('f5', false), 'bar', shortcuts)).toEqual({ why: 'browser' });
    for (const other of [keys('m', false), keys('m', false, true), keys('enter'), keys(' '), keys('escape', false)]) {
      expect(refused(other, 'microphone', shortcuts)).toEqual({ why: 'typed' });
    }
    expect(refused(keys('f8', false), 'microphone', shortcuts)).toBeUndefined();
  });

  test('are read from a press, not from Ctrl or Shift alone', () => {
    for (const key of ['Control', 'Shift', 'Alt', 'Meta', 'Dead']) expect(keysOf(press(key))).toBeUndefined();
    expect(keysOf(press('K', { metaKey: true, shiftKey: true }))).toEqual({ key: 'k', ctrl: true, shift: true });
    const plus = keysOf(press('+', { ctrlKey: true }));
    expect(plus && textOf(plus)).toBe('ctrl+plus');
    const shortcuts = withOwn({ view: 'ctrl+plus' });
    expect(actionOf(press('+', { ctrlKey: true }), shortcuts)).toBe('view');
  });

  test('that were kept by another version, or by hand, never leave two actions on the same keys', () => {
    expect(readOwn({ microphone: 'ctrl+m', camera: 'm', hand: 7, dance: 'ctrl+k' })).toEqual({ microphone: 'ctrl+m' });
    for (const stored of [null, 'ctrl+m', [], { microphone: 'ctrl+' }]) expect(readOwn(stored)).toEqual({});
    expect(withOwn({ microphone: 'ctrl+e' })).toEqual(SHORTCUTS);
    expect(withOwn({ microphone: 'ctrl+e', camera: 'ctrl+d' }).find(({ action }) => action === 'camera')?.key).toBe('d');
  });
});

describe('hold to talk', () => {
  function microphone(on = false) {
    const calls: boolean[] = [];
    return { calls, isOn: () => (calls.at(-1) ?? on), setOn: (next: boolean) => void calls.push(next) };
  }

  test('is on while held, once, and off at the end', () => {
    const mic = microphone();
    const talk = new HoldToTalk(mic);
    expect(talk.down(false)).toBe(true);
    expect(talk.down(true)).toBe(true);
    expect(mic.calls).toEqual([true]);
    expect(talk.up()).toBe(true);
    expect(talk.up()).toBe(false);
    expect(mic.calls).toEqual([true, false]);
  });

  test('does not touch a microphone that is on, nor begin in the middle of a press', () => {
    const mic = microphone(true);
    expect(new HoldToTalk(mic).down(false)).toBe(false);
    const off = microphone();
    expect(new HoldToTalk(off).down(true)).toBe(false);
    expect([...mic.calls, ...off.calls]).toEqual([]);
  });
});

describe('the keyboard', () => {
  class FakeWindow {
    readonly listeners = new Map<string, (event: never) => void>();
    addEventListener(name: string, listener: never): void {
      this.listeners.set(name, listener);
    }
    removeEventListener(name: string): void {
      this.listeners.delete(name);
    }
    send(name: string, event: object = {}): boolean {
      let prevented = false;
      const full = { ...press(''), defaultPrevented: false, preventDefault: () => (prevented = true), ...event };
      this.listeners.get(name)?.(full as never);
      return prevented;
    }
  }

  function setUp() {
    const window = new FakeWindow();
    const acted: Action[] = [];
    const talked: boolean[] = [];
    const switched: boolean[] = [];
    let on = true;
    const end = listenToKeys(
      {
        on: () => on,
        microphone: { isOn: () => switched.at(-1) ?? false, setOn: (next) => void switched.push(next) },
        talking: (yes) => void talked.push(yes),
        act: (action) => void acted.push(action),
      },
      window as unknown as Window,
    );
    return { window, acted, talked, switched, end, off: () => (on = false) };
  }

  test('talks by Space, but not where Space writes or presses something', () => {
    const { window, switched, talked } = setUp();
    for (const tagName of ['BUTTON', 'TEXTAREA', 'SELECT', 'A', 'INPUT']) {
      expect(window.send('keydown', { key: ' ', target: { tagName } })).toBe(false);
    }
    expect(switched).toEqual([]);
    expect(window.send('keydown', { key: ' ', target: { tagName: 'MAIN' } })).toBe(true);
    window.send('keyup', { key: ' ' });
    expect(switched).toEqual([true, false]);
    expect(talked).toEqual([true, false]);
  });

  test('lets go of the microphone when the window loses the keyboard, and when the call ends', () => {
    const { window, switched, end } = setUp();
    window.send('keydown', { key: ' ' });
    window.send('blur');
    expect(switched).toEqual([true, false]);
    window.send('keydown', { key: ' ' });
    end();
    expect(switched).toEqual([true, false, true, false]);
    expect(window.listeners.size).toBe(0);
  });

  test('keeps the browser from doing its own thing, and can be switched off', () => {
    const { window, acted, switched, off } = setUp();
    expect(window.send('keydown', { key: 'd', ctrlKey: true })).toBe(true);
    expect(acted).toEqual(['microphone']);
    off();
    expect(window.send('keydown', { key: 'd', ctrlKey: true })).toBe(false);
    window.send('keydown', { key: ' ' });
    expect(acted).toEqual(['microphone']);
    expect(switched).toEqual([]);
  });
});
