// SPDX-License-Identifier: EUPL-1.2
/**
 * Panels and dialogs of the call: no picture waits for them. They are fetched once the call has settled, so that they are there at the
 * press of a button even where the network no longer is; before that, at the press.
 */
import { allTexts } from '../messages/index.ts';
import { onceWithStyles } from '../once.ts';

export type Asked = typeof import('./asked.ts');

/** The first pictures have the network for themselves until then. */
const SETTLED_MS = 5_000;

export const loadAsked: () => Promise<Asked> = onceWithStyles(async () => (await Promise.all([import('./asked.ts'), allTexts()]))[0]);

/** Hands them over when they have been fetched ahead; answers how to let that be. What fails is fetched at the press. */
export function fetchAhead(take: (asked: Asked) => void, load: () => Promise<Asked> = loadAsked): () => void {
  let over = false;
  const timer = setTimeout(() => {
    load().then(
      (asked) => {
        if (!over) take(asked);
      },
      () => undefined,
    );
  }, SETTLED_MS);
  return () => {
    over = true;
    clearTimeout(timer);
  };
}
