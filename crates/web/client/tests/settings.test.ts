// SPDX-License-Identifier: EUPL-1.2
import { expect, test } from 'vitest';
import { loadSettings, saveSettings } from '../src/settings.ts';

function memory(initial?: string) {
  let stored = initial ?? null;
  return {
    getItem: () => stored,
    setItem: (_: string, value: string) => void (stored = value),
  };
}

test('the name and the devices are remembered, one change at a time', () => {
  const storage = memory();
  saveSettings({ name: 'Ada', cameraOn: false }, storage);
  saveSettings({ microphoneId: 'm1', language: 'fr', theme: 'contrast' }, storage);
  expect(loadSettings(storage)).toMatchObject({ name: 'Ada', cameraOn: false, microphoneOn: true, microphoneId: 'm1', language: 'fr', theme: 'contrast' });
});

test('storage that is foreign, broken or forbidden gives the defaults', () => {
  const defaults = { name: '', microphoneOn: true, cameraOn: true, cameraId: undefined, language: undefined, theme: 'system' };
  for (const stored of ['', '{', '[]', 'null', '7', '{"name":7,"cameraOn":"no","cameraId":{},"theme":"pink","language":3}']) {
    expect(loadSettings(memory(stored)), stored).toMatchObject(defaults);
  }
  expect(loadSettings(undefined)).toMatchObject(defaults);
  const full = {
    getItem: () => null,
    setItem: () => {
      throw new Error('full');
    },
  };
  expect(() => saveSettings({ name: 'Ada' }, full)).not.toThrow();
});
