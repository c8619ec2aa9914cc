// SPDX-License-Identifier: EUPL-1.2
// Put into the client's own page before anything else: its camera shows seven colour bars and its microphone plays a tone, and
// what is seen and heard of others can be measured.
import { barsTrack, measureBars, measureTone, toneTrack } from './media.js';

/** Set by the test: the pitch of this person's tone. */
const hertz = () => window.playsHertz ?? 440;

navigator.mediaDevices.getUserMedia = async (wish) => {
  const stream = new MediaStream();
  if (wish.video) stream.addTrack(barsTrack(320, 180, 10));
  if (wish.audio) stream.addTrack(await toneTrack(hertz()));
  return stream;
};

const tile = (name) => [...document.querySelectorAll('li')].find((li) => li.textContent.includes(name) && li.querySelector('video:not(.mirrored)'));

window.plays = {
  /** The bars in the picture of someone, as they are shown. */
  seen: async ({ name, atLeast = 5, milliseconds = 20_000 }) => {
    const end = performance.now() + milliseconds;
    while (tile(name) === undefined) {
      if (performance.now() > end) throw new Error(`no picture of ${name}`);
      await new Promise((done) => setTimeout(done, 100));
    }
    return measureBars(tile(name).querySelector('video'), name, atLeast, milliseconds);
  },
  /** The tone near a pitch, of all that the page plays. */
  heard: async ({ near, milliseconds = 20_000 }) => {
    const end = performance.now() + milliseconds;
    for (;;) {
      const tracks = [...document.querySelectorAll('audio')].flatMap((audio) => audio.srcObject?.getAudioTracks() ?? []);
      const found = await Promise.any(tracks.map((track) => measureTone(track, 'the others', 1_500, near))).catch(() => undefined);
      if (found !== undefined) return found;
      if (performance.now() > end) throw new Error(`nothing near ${near} Hz was heard`);
      await new Promise((done) => setTimeout(done, 200));
    }
  },
};
