// SPDX-License-Identifier: EUPL-1.2
/** Puts a person before another background, picture by picture. Lives in the worker. */
import type { Look } from './choice.ts';
import { blur, follow, stencil } from './mask.ts';
import type { Network } from './network.ts';
import { drawScene } from './scenes.ts';

type Context = OffscreenCanvasRenderingContext2D;

export class Compositor {
  readonly #network: Network;
  /** At the network's size: what it sees, which of it is a person, and the background where that is blurred. */
  readonly #small: Context;
  readonly #stencil: Context;
  readonly #blurred: Context;
  readonly #mask: Float32Array;
  readonly #stencilData: ImageData;
  readonly #blurredData: ImageData;
  /** At the size of the pictures. */
  readonly #whole = context(1, 1);
  readonly #scene = context(1, 1);
  #look: Look;
  #sceneDue = true;

  constructor(network: Network, look: Look) {
    const { width, height } = network;
    this.#network = network;
    this.#look = look;
    this.#small = context(width, height, true);
    this.#stencil = context(width, height);
    this.#blurred = context(width, height);
    this.#mask = new Float32Array(width * height);
    this.#stencilData = new ImageData(width, height);
    this.#blurredData = new ImageData(width, height);
  }

  set look(look: Look) {
    if (this.#look.kind === 'image') this.#look.image.close();
    this.#look = look;
    this.#sceneDue = true;
  }

  /** The canvas is the same each time: take of it what is needed before the next picture. */
  draw(picture: CanvasImageSource, width: number, height: number): OffscreenCanvas {
    const { width: w, height: h } = this.#network;
    this.#small.drawImage(picture, 0, 0, w, h);
    const seen = this.#small.getImageData(0, 0, w, h);
    follow(this.#mask, this.#network.run(seen.data));
    stencil(this.#mask, this.#stencilData.data);
    this.#stencil.putImageData(this.#stencilData, 0, 0);

    const whole = this.#whole;
    if (whole.canvas.width !== width || whole.canvas.height !== height) {
      whole.canvas.width = this.#scene.canvas.width = width;
      whole.canvas.height = this.#scene.canvas.height = height;
      this.#sceneDue = true;
    }
    whole.globalCompositeOperation = 'copy';
    whole.drawImage(this.#stencil.canvas, 0, 0, width, height);
    whole.globalCompositeOperation = 'source-in';
    whole.drawImage(picture, 0, 0, width, height);
    whole.globalCompositeOperation = 'destination-over';
    if (this.#look.kind === 'blur') {
      blur(seen.data, this.#mask, w, h, this.#blurredData.data);
      this.#blurred.putImageData(this.#blurredData, 0, 0);
      whole.drawImage(this.#blurred.canvas, 0, 0, width, height);
    } else {
      if (this.#sceneDue) this.#drawScene(this.#look, width, height);
      whole.drawImage(this.#scene.canvas, 0, 0);
    }
    return whole.canvas;
  }

  #drawScene(look: Exclude<Look, { kind: 'blur' }>, width: number, height: number): void {
    this.#sceneDue = false;
    if (look.kind === 'scene') return drawScene(look.scene, this.#scene, width, height);
    // Cut at the sides rather than squeezed.
    const { image } = look;
    const scale = Math.max(width / image.width, height / image.height);
    const [w, h] = [image.width * scale, image.height * scale];
    this.#scene.drawImage(image, (width - w) / 2, (height - h) / 2, w, h);
  }
}

function context(width: number, height: number, willReadFrequently = false): Context {
  const found = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently });
  if (found === null) throw new Error('there is no canvas in workers');
  return found;
}
