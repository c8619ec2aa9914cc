// SPDX-License-Identifier: EUPL-1.2
/** What this browser remembers of its user. It is stored here and sent nowhere, save the name when joining. */
import { type Background, backgroundOf } from './effects/choice.ts';
import { type OwnKeys, readOwn } from './keys/own.ts';
import type { ViewKind } from './stage/compose.ts';
import type { SelfView } from './stage/model.ts';
import { cleanName } from './text.ts';

export const THEMES = ['system', 'light', 'dark', 'contrast'] as const;
export type Theme = (typeof THEMES)[number];

export interface Settings {
  name: string;
  microphoneOn: boolean;
  cameraOn: boolean;
  microphoneId: string | undefined;
  cameraId: string | undefined;
  speakerId: string | undefined;
  /** The language that was chosen here; without one, the browser's. */
  language: string | undefined;
  theme: Theme;
  /** Whether keys do anything in the call, Space to talk among them. */
  shortcuts: boolean;
  /** Those that the user chose in place of the built-in ones. */
  keys: OwnKeys;
  view: ViewKind;
  selfView: SelfView;
  /** What is shown behind the user, and whether their microphone's noise is taken out. */
  background: Background;
  noise: boolean;
}

const KEY = 'parvis.settings';
const SELF_VIEWS: readonly SelfView[] = ['tile', 'floating', 'hidden'];

type Storage = Pick<globalThis.Storage, 'getItem' | 'setItem'>;

export function loadSettings(storage: Storage | undefined = localStorageIfAny()): Settings {
  let stored: Record<string, unknown> = {};
  try {
    const parsed: unknown = JSON.parse(storage?.getItem(KEY) ?? '{}');
    if (typeof parsed === 'object' && parsed !== null) stored = parsed as Record<string, unknown>;
  } catch {
    // Written by hand or by another version: the defaults are better than an error.
  }
  const text = (key: string) => (typeof stored[key] === 'string' && stored[key] !== '' ? stored[key] : undefined);
  return {
    name: cleanName(text('name') ?? ''),
    microphoneOn: stored.microphoneOn !== false,
    cameraOn: stored.cameraOn !== false,
    microphoneId: text('microphoneId'),
    cameraId: text('cameraId'),
    speakerId: text('speakerId'),
    language: text('language'),
    theme: THEMES.find((theme) => theme === stored.theme) ?? 'system',
    shortcuts: stored.shortcuts !== false,
    keys: readOwn(stored.keys),
    view: stored.view === 'speaker' ? 'speaker' : 'grid',
    selfView: SELF_VIEWS.find((each) => each === stored.selfView) ?? 'tile',
    background: backgroundOf(stored.background),
    noise: stored.noise === true,
  };
}

export function saveSettings(change: Partial<Settings>, storage: Storage | undefined = localStorageIfAny()): void {
  try {
    storage?.setItem(KEY, JSON.stringify({ ...loadSettings(storage), ...change }));
  } catch {
    // Storage full or forbidden: the settings hold for this page only.
  }
}

/** Reading the property itself throws where the user has forbidden storage. */
function localStorageIfAny(): Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
}
