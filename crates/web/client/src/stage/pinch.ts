// SPDX-License-Identifier: EUPL-1.2
/** One finger, or the mouse, moves what is enlarged; two fingers enlarge it; a double press enlarges or shows the whole. */
import type { Size } from './layout.ts';
import { panBy, WHOLE, zoomAt, type Zoom } from './zoom.ts';

const DOUBLE_SCALE = 2.5;

interface Point {
  x: number;
  y: number;
}

export class Pinch {
  readonly #zoom: () => Zoom;
  readonly #box: () => Size;
  readonly #change: (zoom: Zoom) => void;
  readonly #fingers = new Map<number, Point>();

  constructor(zoom: () => Zoom, box: () => Size, change: (zoom: Zoom) => void) {
    this.#zoom = zoom;
    this.#box = box;
    this.#change = change;
  }

  down(id: number, at: Point): void {
    this.#fingers.set(id, at);
  }

  /** Points are counted from the middle of the box. */
  move(id: number, at: Point): void {
    const before = this.#fingers.get(id);
    if (before === undefined) return;
    const other = [...this.#fingers].find(([each]) => each !== id)?.[1];
    this.#fingers.set(id, at);
    const zoom = this.#zoom();
    if (other === undefined) {
      if (zoom.scale > 1) this.#change(panBy(zoom, at.x - before.x, at.y - before.y, this.#box()));
      return;
    }
    const apart = (a: Point, b: Point) => Math.max(1, Math.hypot(a.x - b.x, a.y - b.y));
    const middle = { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 };
    this.#change(zoomAt(zoom, apart(at, other) / apart(before, other), middle, this.#box()));
  }

  up(id: number): void {
    this.#fingers.delete(id);
  }

  double(at: Point): void {
    const zoom = this.#zoom();
    this.#change(zoom.scale > 1 ? WHOLE : zoomAt(zoom, DOUBLE_SCALE, at, this.#box()));
  }

  listen(element: HTMLElement): () => void {
    const point = (event: MouseEvent): Point => {
      const { left, top, width, height } = element.getBoundingClientRect();
      return { x: event.clientX - left - width / 2, y: event.clientY - top - height / 2 };
    };
    const down = (event: PointerEvent) => {
      if (event.button !== 0) return;
      this.down(event.pointerId, point(event));
      if (this.#zoom().scale > 1) element.setPointerCapture(event.pointerId);
    };
    const move = (event: PointerEvent) => this.move(event.pointerId, point(event));
    const up = (event: PointerEvent) => this.up(event.pointerId);
    const double = (event: MouseEvent) => this.double(point(event));
    element.addEventListener('pointerdown', down);
    element.addEventListener('pointermove', move);
    element.addEventListener('pointerup', up);
    element.addEventListener('pointercancel', up);
    element.addEventListener('pointerleave', up);
    element.addEventListener('dblclick', double);
    return () => {
      element.removeEventListener('pointerdown', down);
      element.removeEventListener('pointermove', move);
      element.removeEventListener('pointerup', up);
      element.removeEventListener('pointercancel', up);
      element.removeEventListener('pointerleave', up);
      element.removeEventListener('dblclick', double);
    };
  }
}
