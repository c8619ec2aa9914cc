// SPDX-License-Identifier: EUPL-1.2
/** What can be chosen to be behind oneself, as it is remembered. */

/** Drawn by scenes.ts. */
export const SCENES = ['arcade', 'hills', 'shelves'] as const;
export type Scene = (typeof SCENES)[number];

/** `own` is the image that was picked from the disk (own.ts). */
export const BACKGROUNDS = ['none', 'blur', ...SCENES, 'own'] as const;
export type Background = (typeof BACKGROUNDS)[number];

export const backgroundOf = (stored: unknown): Background => BACKGROUNDS.find((each) => each === stored) ?? 'none';

/** What is to be seen behind a person, as the worker is told it. */
export type Look = { kind: 'blur' } | { kind: 'scene'; scene: Scene } | { kind: 'image'; image: ImageBitmap };
