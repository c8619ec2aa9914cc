// SPDX-License-Identifier: EUPL-1.2
/** How loud a microphone is, as a number from 0 to 1. */

/** The quietest and the loudest that the meter tells apart, in dB below full scale. Speech is at about -30. */
const FLOOR_DB = -60;
const CEILING_DB = -12;
const INTERVAL_MS = 66;
const SAMPLES = 1024;

/** The place of a root mean square between the floor and the ceiling, on a logarithmic scale as ears have it. */
export function placeOf(rms: number): number {
  if (rms <= 0) return 0;
  return Math.min(1, Math.max(0, (20 * Math.log10(rms) - FLOOR_DB) / (CEILING_DB - FLOOR_DB)));
}

/** The place of a block of samples of that scale. */
export function loudness(samples: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < samples.length; i++) sum += (samples[i] ?? 0) ** 2;
  return placeOf(Math.sqrt(sum / Math.max(1, samples.length)));
}

/** The greatest of a block of samples. Even a quiet room is above zero; only a microphone that gives nothing is not. */
export function peakOf(samples: ArrayLike<number>): number {
  let peak = 0;
  for (let i = 0; i < samples.length; i++) peak = Math.max(peak, Math.abs(samples[i] ?? 0));
  return peak;
}

/** Measures until the returned function is called. `peak` is that of the latest samples alone. */
export function measureLevel(track: MediaStreamTrack, onLevel: (level: number, peak: number) => void): () => void {
  const context = new AudioContext();
  const source = context.createMediaStreamSource(new MediaStream([track]));
  const analyser = context.createAnalyser();
  analyser.fftSize = SAMPLES;
  source.connect(analyser);
  const samples = new Float32Array(SAMPLES);
  // A page that was opened by its link may make no sound, nor measure any, before the user has touched it.
  const resume = () => void context.resume().catch(() => undefined);
  const gestures = ['pointerdown', 'keydown'] as const;
  for (const gesture of gestures) addEventListener(gesture, resume);
  resume();
  let shown = 0;
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    // Up at once, down slowly: a syllable stays long enough to be seen.
    shown = Math.max(loudness(samples), shown * 0.8);
    onLevel(shown, peakOf(samples));
  }, INTERVAL_MS);
  return () => {
    clearInterval(timer);
    for (const gesture of gestures) removeEventListener(gesture, resume);
    source.disconnect();
    void context.close();
  };
}
