// SPDX-License-Identifier: EUPL-1.2
/** What the browser's tab tells of the call while another one is looked at: above all, whether the microphone is on. */

export type TabState = 'on' | 'muted';

const SIZE = 32;
const DOT: Record<TabState, string> = { on: '#1f9d5c', muted: '#c22b36' };

type Pen = Pick<
  CanvasRenderingContext2D,
  'beginPath' | 'roundRect' | 'moveTo' | 'lineTo' | 'arc' | 'fill' | 'stroke' | 'fillStyle' | 'strokeStyle' | 'lineWidth' | 'lineCap'
>;

/** The page's icon with a dot of the state's colour, and a stroke through it where the microphone is off: colour alone says nothing to some. */
export function drawTabIcon(pen: Pen, state: TabState): void {
  pen.fillStyle = '#2b5fd9';
  pen.beginPath();
  pen.roundRect(0, 0, SIZE, SIZE, 8);
  pen.fill();
  pen.strokeStyle = '#fff';
  pen.lineWidth = 3.2;
  pen.lineCap = 'round';
  pen.beginPath();
  pen.moveTo(8, 24);
  pen.lineTo(8, 13);
  pen.arc(16, 13, 8, Math.PI, 0);
  pen.lineTo(24, 24);
  pen.stroke();
  pen.fillStyle = DOT[state];
  pen.lineWidth = 1.6;
  pen.beginPath();
  pen.arc(23, 23, 8, 0, 2 * Math.PI);
  pen.fill();
  pen.stroke();
  if (state === 'on') return;
  pen.lineWidth = 2.6;
  pen.beginPath();
  pen.moveTo(19.5, 19.5);
  pen.lineTo(26.5, 26.5);
  pen.stroke();
}

/** Shows it; the returned function puts the page's own icon back. */
export function showTabIcon(state: TabState): () => void {
  const link = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [SIZE, SIZE];
  const pen = canvas.getContext('2d');
  if (link === null || pen === null) return () => undefined;
  drawTabIcon(pen, state);
  const own = { href: link.getAttribute('href') ?? '', type: link.type };
  link.type = 'image/png';
  link.href = canvas.toDataURL();
  return () => {
    link.type = own.type;
    link.href = own.href;
  };
}
