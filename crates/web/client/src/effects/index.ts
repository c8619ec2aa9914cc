// SPDX-License-Identifier: EUPL-1.2
/** The way into `effects/`: fetched while somebody looks at the preview. What is heavy comes when an effect is switched on. */
import { saveSettings, type Settings } from '../settings.ts';
import { Effects } from './model.ts';
import { hasImage, keptImage, takeImage } from './own.ts';
import { canChangePictures, changePictures } from './picture.ts';
import { canCleanSound, cleanSound } from './sound.ts';

/** `cameraOff` turns the camera off wherever it is on: before the call, or in it. */
export function createEffects({ background, noise }: Pick<Settings, 'background' | 'noise'>, cameraOff: () => void): Effects {
  const world = {
    can: { background: canChangePictures(), noise: canCleanSound() },
    changePictures,
    cleanSound,
    takeImage: (file: File) => takeImage(file, storage()),
    hasImage: () => hasImage(storage()),
    keptImage: () => keptImage(storage()),
    save: saveSettings,
    cameraOff,
  };
  return new Effects(world, { background, noise });
}

/** Reading the property itself throws where the user has forbidden storage. */
function storage(): Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
}
