// SPDX-License-Identifier: EUPL-1.2
// People who are drawn: for the pictures of the guide, and wherever a call needs faces that decode.

/** How each looks. Whoever comes after the last begins anew. */
export const LOOKS = [
  { name: 'Ada', wall: '#c9d6c3', light: '#eef2e6', skin: '#c98f6b', hair: '#3b2a22', clothes: '#7a3b4e' },
  { name: 'Bohumil', wall: '#b9c7d8', light: '#e6edf5', skin: '#e3b48f', hair: '#8a6a3f', clothes: '#2f4858' },
  { name: 'Chiara', wall: '#e2cdb4', light: '#f7eddf', skin: '#8d5a3c', hair: '#17120f', clothes: '#4f6d4a' },
  { name: 'Dora', wall: '#d8c3c9', light: '#f3e6ea', skin: '#f0c8a8', hair: '#b5622f', clothes: '#31506b' },
  { name: 'Emil', wall: '#c2cfd0', light: '#e9f0f0', skin: '#b97c55', hair: '#55504c', clothes: '#8a5a2b' },
  { name: 'Fadila', wall: '#d9d2ba', light: '#f4f0e2', skin: '#a06a48', hair: '#2a1d17', clothes: '#5c4a7d' },
  { name: 'Giedrė', wall: '#c5c9dc', light: '#eceef7', skin: '#f2d3ba', hair: '#d6b36a', clothes: '#6b2f3a' },
  { name: 'Henrik', wall: '#cbd8cf', light: '#eef5f0', skin: '#e7bb98', hair: '#9a9a9a', clothes: '#2e3d33' },
  { name: 'Ioana', wall: '#e0c9bd', light: '#f8ebe4', skin: '#cf9a74', hair: '#4a2a1e', clothes: '#24596b' },
  { name: 'Jurij', wall: '#bfc8c0', light: '#e6ece7', skin: '#dca983', hair: '#2b2b30', clothes: '#7b6a3a' },
  { name: 'Klára', wall: '#d3c6de', light: '#f1eaf6', skin: '#eec3a5', hair: '#6d3b25', clothes: '#3d5d4c' },
  { name: 'Luca', wall: '#c8d3dd', light: '#ebf1f6', skin: '#c08660', hair: '#1f1a17', clothes: '#7d3f2c' },
];

/**
 * A canvas with a person who breathes before a wall with a window. It needs nothing from outside of itself, so that its text can
 * be given to a page.
 */
export function drawnPerson({ wall, light, skin, hair, clothes }, width = 1280, fps = 10) {
  const height = Math.round((width * 9) / 16);
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const context = canvas.getContext('2d');
  const ellipse = (x, y, across, high, fill) => {
    context.fillStyle = fill;
    context.beginPath();
    context.ellipse(x, y, across, high, 0, 0, 2 * Math.PI);
    context.fill();
  };
  const draw = () => {
    const lift = 6 * Math.sin(performance.now() / 900);
    // All of it is drawn as if 1280 pixels wide.
    context.setTransform(width / 1280, 0, 0, width / 1280, 0, 0);
    const back = context.createLinearGradient(0, 0, 1280, 720);
    back.addColorStop(0, light);
    back.addColorStop(1, wall);
    context.fillStyle = back;
    context.fillRect(0, 0, 1280, 720);
    context.fillStyle = '#ffffff66';
    context.fillRect(90, 60, 230, 330);
    context.fillStyle = wall;
    context.fillRect(199, 60, 12, 330);
    context.fillRect(90, 219, 230, 12);
    ellipse(640, 290 + lift, 172, 205, hair);
    ellipse(640, 800 + lift, 330, 290, clothes);
    context.fillStyle = skin;
    context.fillRect(585, 420 + lift, 110, 130);
    ellipse(640, 540 + lift, 78, 48, skin);
    ellipse(640, 330 + lift, 138, 172, skin);
    ellipse(640, 195 + lift, 146, 80, hair);
    for (const x of [588, 692]) ellipse(x, 320 + lift, 11, 15, '#1d1714');
    context.strokeStyle = '#00000055';
    context.lineWidth = 7;
    context.lineCap = 'round';
    context.beginPath();
    context.arc(640, 385 + lift, 46, 0.2 * Math.PI, 0.8 * Math.PI);
    context.stroke();
  };
  draw();
  const timer = setInterval(draw, 1000 / fps);
  canvas.rest = () => clearInterval(timer);
  return canvas;
}
