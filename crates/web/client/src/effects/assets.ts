// SPDX-License-Identifier: EUPL-1.2
/** The heavy files, fetched from the page's own server when an effect is first switched on, and once. */
import modelUrl from '@mediapipe/selfie_segmentation/selfie_segmentation_landscape.tflite?url';
import noiseUrl from '@jitsi/rnnoise-wasm/dist/rnnoise.wasm?url';
import kernelsUrl from '../../compiled/kernels.wasm?url';
import { once } from '../once.ts';

async function bytesOf(url: string): Promise<ArrayBuffer> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return await answer.arrayBuffer();
}

/** For painter.ts. */
export const pictureParts = once(async () => {
  const [kernels, network] = await Promise.all([bytesOf(kernelsUrl), bytesOf(modelUrl)]);
  return { kernels, network };
});

/** For noise.ts. */
export const noiseParts = once(() => bytesOf(noiseUrl));
