// SPDX-License-Identifier: EUPL-1.2
// What the tests hold against what arrives.
import assert from 'node:assert/strict';

export const BARS = [[192, 192, 192], [192, 192, 0], [0, 192, 192], [0, 192, 0], [192, 0, 192], [192, 0, 0], [0, 0, 192]];

/**
 * What a channel that is on at the sender (192) must reach, and what one that is off (0) must stay below. Colour
 * matrices differ between capture and canvas (BT.601 and BT.709, full and limited range), by up to 60 levels.
 */
const ON = 120;
const OFF = 72;
/** An FFT of 8,192 at 48 kHz has bins of 5.9 Hz; the next semitone is 26 Hz away. */
const TONE_TOLERANCE_HERTZ = 12;

/** The seven bars arrived, each in its place. */
export function assertBars(seen, who) {
  seen.bars.forEach((bar, place) => bar.forEach((level, colour) => {
    const wanted = BARS[place][colour];
    assert.ok(wanted > 0 ? level >= ON : level <= OFF, `${who}: bar ${place} is ${bar}, not ${BARS[place]}`);
  }));
}

/** The tone arrived at its pitch, loud enough. */
export function assertTone(heard, hertz, who) {
  assert.ok(Math.abs(heard.hertz - hertz) <= TONE_TOLERANCE_HERTZ, `${who} heard ${heard.hertz} Hz, not ${hertz}`);
  assert.ok(heard.decibel > -40, `${who} heard the tone at ${heard.decibel} dB only`);
}

/** Asks `look` again until it gives something true. */
export async function eventually(what, look, milliseconds = 20000) {
  const end = Date.now() + milliseconds;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) assert.fail(`waited ${milliseconds} ms for ${what}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}
