// SPDX-License-Identifier: EUPL-1.2
/** The backgrounds that are our own: drawn of lines and shades when they are needed, at the size of the picture. */
import type { Scene } from './choice.ts';

type Canvas = Pick<
  OffscreenCanvasRenderingContext2D,
  'fillStyle' | 'fillRect' | 'beginPath' | 'moveTo' | 'lineTo' | 'arc' | 'closePath' | 'fill' | 'createLinearGradient' | 'bezierCurveTo'
>;

/** Calm colours: who sits in front is what is looked at. */
export function drawScene(scene: Scene, context: Canvas, width: number, height: number): void {
  DRAWINGS[scene](context, width, height);
}

const DRAWINGS: Record<Scene, (context: Canvas, width: number, height: number) => void> = {
  arcade(context, width, height) {
    shade(context, width, height, ['#e9e2d4', '#d3c6ae']);
    const bay = width / 4;
    for (let i = -0.5; i < 4; i++) {
      const left = i * bay + bay * 0.14;
      const span = bay * 0.72;
      opening(context, left - bay * 0.04, span + bay * 0.08, height, '#b8a98c');
      const light = context.createLinearGradient(0, height * 0.2, 0, height);
      light.addColorStop(0, '#8fa9b8');
      light.addColorStop(1, '#c9d3c6');
      opening(context, left, span, height, light);
    }
    context.fillStyle = '#a99a7d';
    context.fillRect(0, height * 0.1, width, height * 0.02);
  },
  hills(context, width, height) {
    shade(context, width, height, ['#2e3f66', '#8d7aa0', '#e8b18f']);
    ['#5b5a83', '#454a70', '#2d3657'].forEach((colour, i) => {
      const top = height * (0.55 + i * 0.13);
      const rise = height * (0.12 - i * 0.02);
      context.fillStyle = colour;
      context.beginPath();
      context.moveTo(0, top + rise * (i % 2));
      context.bezierCurveTo(width * 0.3, top - rise * 2, width * 0.45, top + rise * 2, width * 0.65, top);
      context.bezierCurveTo(width * 0.8, top - rise, width * 0.9, top + rise, width, top - rise * (i % 2));
      context.lineTo(width, height);
      context.lineTo(0, height);
      context.closePath();
      context.fill();
    });
  },
  shelves(context, width, height) {
    shade(context, width, height, ['#6b4f3a', '#54402f']);
    const rows = 4;
    const spines = ['#8c3b33', '#2f5d62', '#c2a25a', '#41506b', '#6c7a4f', '#b9a58c', '#5a3550'];
    // The same books in every frame and for everyone: a small generator in place of chance.
    let seed = 7;
    const next = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff;
    for (let row = 0; row < rows; row++) {
      const floor = ((row + 1) * height) / rows - height * 0.02;
      const room = height / rows - height * 0.05;
      for (let x = width * 0.01; x < width * 0.985; ) {
        const thick = width * (0.008 + next() * 0.014);
        const tall = room * (0.65 + next() * 0.33);
        context.fillStyle = spines[Math.floor(next() * spines.length)] ?? '#8c3b33';
        if (next() > 0.12) context.fillRect(x, floor - tall, thick - width * 0.001, tall);
        x += thick;
      }
      context.fillStyle = '#3d2d20';
      context.fillRect(0, floor, width, height * 0.022);
    }
  },
};

function shade(context: Canvas, width: number, height: number, colours: string[]): void {
  const gradient = context.createLinearGradient(0, 0, 0, height);
  colours.forEach((colour, i) => gradient.addColorStop(i / (colours.length - 1), colour));
  context.fillStyle = gradient;
  context.fillRect(0, 0, width, height);
}

/** One arch, down to the floor. */
function opening(context: Canvas, left: number, span: number, height: number, fill: string | CanvasGradient): void {
  const radius = span / 2;
  const spring = height * 0.2 + radius;
  context.fillStyle = fill;
  context.beginPath();
  context.moveTo(left, height);
  context.lineTo(left, spring);
  context.arc(left + radius, spring, radius, Math.PI, 0);
  context.lineTo(left + span, height);
  context.closePath();
  context.fill();
}
