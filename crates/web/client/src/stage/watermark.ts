// SPDX-License-Identifier: EUPL-1.2
/** How the name of who watches is written over a picture. */

/** How far apart two of them are, in CSS pixels, and how they lean. */
const ROW_PX = 84;
const GAP_PX = 56;
const LEAN = -Math.PI / 9;
const SIZE_PX = 17;
/** Faint enough to watch through, and there in every photograph of the screen. */
const INK = 'rgb(255 255 255 / 20%)';
const EDGE = 'rgb(0 0 0 / 16%)';

/** Who watches, and when: to the minute, which is enough to find a leak by. */
export function watermarkText(name: string, now: Date, locale: string): string {
  const when = new Intl.DateTimeFormat(locale, { dateStyle: 'short', timeStyle: 'short' }).format(now);
  return `${name} · ${when}`;
}

/** Covers a canvas of that size with the text. */
export function drawWatermark(canvas: HTMLCanvasElement, text: string, width: number, height: number, scale: number): void {
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const pen = canvas.getContext('2d');
  if (pen === null || width <= 0 || height <= 0) return;
  pen.scale(scale, scale);
  pen.font = `600 ${SIZE_PX}px system-ui, sans-serif`;
  pen.textBaseline = 'middle';
  pen.fillStyle = INK;
  pen.strokeStyle = EDGE;
  pen.lineWidth = 2;
  const step = pen.measureText(text).width + GAP_PX;
  const reach = Math.hypot(width, height) / 2 + step;
  pen.translate(width / 2, height / 2);
  pen.rotate(LEAN);
  let row = 0;
  for (let y = -reach; y < reach; y += ROW_PX, row++) {
    // Each row stands off the one above, so that no column is free of it.
    for (let x = -reach - (row % 2) * (step / 2); x < reach; x += step) {
      pen.strokeText(text, x, y);
      pen.fillText(text, x, y);
    }
  }
}
