// SPDX-License-Identifier: EUPL-1.2
/** The heavy files, fetched from the page's own server when an effect is first switched on, and once. */
import modelUrl from '@mediapipe/selfie_segmentation/selfie_segmentation_landscape.tflite?url';
import noiseUrl from '@jitsi/rnnoise-wasm/dist/rnnoise.wasm?url';
import kernelsUrl from '../../compiled/kernels.wasm?url';

async function bytesOf(url: string): Promise<ArrayBuffer> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return await answer.arrayBuffer();
}

/** What failed is tried again next time: the network may be back by then. */
function once<T>(load: () => Promise<T>): () => Promise<T> {
  let loading: Promise<T> | undefined;
  return () => {
    loading ??= load();
    loading.catch(() => (loading = undefined));
    return loading;
  };
}

/** For worker.ts. */
export const pictureParts = once(async () => {
  const [kernels, network] = await Promise.all([bytesOf(kernelsUrl).then((bytes) => WebAssembly.compile(bytes)), bytesOf(modelUrl)]);
  return { kernels, network };
});

/** For noise.ts. */
export const noiseParts = once(() => bytesOf(noiseUrl));
