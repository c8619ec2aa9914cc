// SPDX-License-Identifier: EUPL-1.2
/** A short melody by which the user hears that the loudspeaker works. */

const NOTES_HZ = [523.25, 659.25, 783.99];
const NOTE_S = 0.28;
/** As loud as speech, not as an alarm. */
const GAIN = 0.18;
export const TONE_MS = Math.round(NOTES_HZ.length * NOTE_S * 1000) + 250;

type Sink = AudioContext & { setSinkId?: (id: string) => Promise<void> };

/** Plays it by the chosen loudspeaker; rejects where the browser plays nothing. */
export async function playTone(speakerId: string | undefined, newContext: () => AudioContext = () => new AudioContext()): Promise<void> {
  const context: Sink = newContext();
  try {
    // One that was pulled out must not keep the tone from being heard elsewhere.
    if (speakerId !== undefined) await context.setSinkId?.(speakerId).catch(() => undefined);
    await context.resume();
    const start = context.currentTime + 0.05;
    for (const [i, hertz] of NOTES_HZ.entries()) {
      const note = context.createOscillator();
      const volume = context.createGain();
      note.frequency.value = hertz;
      const at = start + i * NOTE_S;
      // Faded at both ends: a tone that is cut clicks.
      volume.gain.setValueAtTime(0, at);
      volume.gain.linearRampToValueAtTime(GAIN, at + 0.03);
      volume.gain.linearRampToValueAtTime(0, at + NOTE_S);
      note.connect(volume).connect(context.destination);
      note.start(at);
      note.stop(at + NOTE_S);
    }
    await new Promise((done) => setTimeout(done, TONE_MS));
  } finally {
    await context.close();
  }
}
