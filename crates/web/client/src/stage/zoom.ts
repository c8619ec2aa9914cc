// SPDX-License-Identifier: EUPL-1.2
/** Looking closer at a shared screen: how much larger, and moved where. Pure, in CSS pixels of the box that shows it. */
import type { Size } from './layout.ts';

export interface Zoom {
  scale: number;
  /** From the middle of the box. */
  x: number;
  y: number;
}

export const WHOLE: Zoom = { scale: 1, x: 0, y: 0 };
export const MAX_SCALE = 6;
export const STEP = 1.35;

/** Larger or smaller about a point, counted from the middle of the box, which stays where it is. */
export function zoomAt(before: Zoom, factor: number, point: { x: number; y: number }, box: Size): Zoom {
  const scale = Math.min(MAX_SCALE, Math.max(1, before.scale * factor));
  const real = scale / before.scale;
  return within({ scale, x: point.x - (point.x - before.x) * real, y: point.y - (point.y - before.y) * real }, box);
}

export function panBy(before: Zoom, dx: number, dy: number, box: Size): Zoom {
  return within({ ...before, x: before.x + dx, y: before.y + dy }, box);
}

/** What the keys of a focused screen do; nothing where the key means nothing to it. */
export function zoomByKey(before: Zoom, key: string, box: Size): Zoom | undefined {
  const step = { x: box.width / 8, y: box.height / 8 };
  switch (key) {
    case '+':
    case '=':
      return zoomAt(before, STEP, { x: 0, y: 0 }, box);
    case '-':
      return zoomAt(before, 1 / STEP, { x: 0, y: 0 }, box);
    case '0':
      return WHOLE;
    case 'ArrowLeft':
      return before.scale > 1 ? panBy(before, step.x, 0, box) : undefined;
    case 'ArrowRight':
      return before.scale > 1 ? panBy(before, -step.x, 0, box) : undefined;
    case 'ArrowUp':
      return before.scale > 1 ? panBy(before, 0, step.y, box) : undefined;
    case 'ArrowDown':
      return before.scale > 1 ? panBy(before, 0, -step.y, box) : undefined;
    default:
      return undefined;
  }
}

/** No further than to the picture's edge. */
function within({ scale, x, y }: Zoom, box: Size): Zoom {
  const most = { x: (box.width * (scale - 1)) / 2, y: (box.height * (scale - 1)) / 2 };
  // Adding zero turns −0 into 0.
  const clamp = (value: number, limit: number) => Math.min(limit, Math.max(-limit, value)) + 0;
  return { scale, x: clamp(x, most.x), y: clamp(y, most.y) };
}
