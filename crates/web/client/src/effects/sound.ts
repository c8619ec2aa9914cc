// SPDX-License-Identifier: EUPL-1.2
/** A microphone's track made into another one, without the noise. */
import { noiseParts } from './assets.ts';
import { LoadGuard } from './guard.ts';
import type { FromNoise } from './noise.ts';
import noiseUrl from './noise.ts?worker&url';
import type { Fault, Running } from './picture.ts';

/** What RNNoise was made for. */
const SAMPLE_RATE = 48_000;
const START_MS = 10_000;
/** A second has so much room for it: the audio thread has more to do than this. */
const BUDGET_MS = 600;

export function canCleanSound(): boolean {
  return typeof WebAssembly === 'object' && typeof AudioWorkletNode === 'function';
}

/** Resolves once sound passes; it never gives a track that would stay silent because the browser holds its sound back. */
export async function cleanSound(microphone: MediaStreamTrack, onfault: (fault: Fault) => void): Promise<Running> {
  const context = new AudioContext({ sampleRate: SAMPLE_RATE, latencyHint: 'interactive' });
  const stop = () => {
    node?.port.close();
    node?.disconnect();
    source?.disconnect();
    for (const track of out?.stream.getTracks() ?? []) track.stop();
    void context.close().catch(() => undefined);
  };
  let node: AudioWorkletNode | undefined;
  let source: MediaStreamAudioSourceNode | undefined;
  let out: MediaStreamAudioDestinationNode | undefined;
  try {
    const [bytes] = await within(START_MS, Promise.all([noiseParts(), context.audioWorklet.addModule(noiseUrl), context.resume()]));
    node = new AudioWorkletNode(context, 'parvis-noise', {
      numberOfInputs: 1,
      numberOfOutputs: 1,
      outputChannelCount: [1],
      channelCount: 1,
      channelCountMode: 'explicit',
      processorOptions: { bytes },
    });
    source = context.createMediaStreamSource(new MediaStream([microphone]));
    out = context.createMediaStreamDestination();
    source.connect(node).connect(out);
    await within(START_MS, working(node, onfault));
    const [track] = out.stream.getAudioTracks();
    if (track === undefined) throw new Error('the browser gives no track of sound');
    return { track, stop };
  } catch (error) {
    stop();
    throw error;
  }
}

/** Resolves when the audio thread has begun, and watches it from then on. */
function working(node: AudioWorkletNode, onfault: (fault: Fault) => void): Promise<void> {
  const guard = new LoadGuard(() => performance.now());
  return new Promise((resolve, reject) => {
    node.addEventListener('processorerror', () => {
      reject(new Error('the noise suppression stopped'));
      onfault('failed');
    });
    node.port.onmessage = ({ data }: MessageEvent<FromNoise>) => {
      if (data.kind === 'ready') resolve();
      else if (data.kind === 'failed') reject(new Error(data.reason));
      else if (guard.spent(data.busyMs, BUDGET_MS)) onfault('slow');
    };
  });
}

function within<T>(ms: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the noise suppression did not start in time')), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
