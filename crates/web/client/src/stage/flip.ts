// SPDX-License-Identifier: EUPL-1.2
/**
 * Moves a tile from where it was to where it is: the new place and size hold at once, and only a transform is animated, which costs no
 * layout. Nothing moves for users who asked for that.
 */
import type { Rect } from './layout.ts';

const DURATION_MS = 260;
/** Less than this nobody sees. */
const LEAST_PX = 2;

/** The transform that shows a tile at `now` as if it were still at `before`; nothing where that is the same. */
export function inverse(before: Rect, now: Rect): string | undefined {
  if (now.width <= 0 || now.height <= 0 || before.width <= 0 || before.height <= 0) return undefined;
  const dx = before.x - now.x;
  const dy = before.y - now.y;
  const far = Math.max(Math.abs(dx), Math.abs(dy), Math.abs(before.width - now.width), Math.abs(before.height - now.height));
  if (far < LEAST_PX) return undefined;
  const scale = `${(before.width / now.width).toFixed(4)}, ${(before.height / now.height).toFixed(4)}`;
  return `translate(${dx.toFixed(1)}px, ${dy.toFixed(1)}px) scale(${scale})`;
}

/** Remembers where each tile was, by its element. */
export class Flip {
  readonly #at = new WeakMap<Element, { rect: Rect; stage: string }>();
  readonly #calm: () => boolean;

  constructor(calm: () => boolean = () => matchMedia('(prefers-reduced-motion: reduce)').matches) {
    this.#calm = calm;
  }

  /** `stage` names the size of the stage: when the window itself changes, tiles follow it without delay. */
  moved(element: HTMLElement, rect: Rect, stage: string): void {
    const before = this.#at.get(element);
    this.#at.set(element, { rect, stage });
    if (before === undefined || before.stage !== stage || this.#calm()) return;
    const from = inverse(before.rect, rect);
    if (from === undefined) return;
    element.animate([{ transform: from }, { transform: 'none' }], { duration: DURATION_MS, easing: 'ease' });
  }
}
