// SPDX-License-Identifier: EUPL-1.2
// What the test pages show and play, and how they measure what arrives of it: seven colour bars and a tone.

/** The seven bars, as [red, green, blue]. */
const BARS = [
  [192, 192, 192],
  [192, 192, 0],
  [0, 192, 192],
  [0, 192, 0],
  [192, 0, 192],
  [192, 0, 0],
  [0, 0, 192],
];

/** Waits until `look` gives something, and says what was waited for when it doesn't. */
export async function until(what, look, milliseconds = 20000) {
  const end = performance.now() + milliseconds;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() > end) throw new Error(`waited ${milliseconds} ms for ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

// Firefox counts pictures of a call by a name of its own only.
export const shown = (video) => Math.max(video.getVideoPlaybackQuality().totalVideoFrames, video.mozPaintedFrames ?? 0);

/** A track that shows the seven bars. */
export function barsTrack(width, height, fps) {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  const context = canvas.getContext('2d');
  let count = 0;
  const draw = () => {
    BARS.forEach(([red, green, blue], bar) => {
      context.fillStyle = `rgb(${red} ${green} ${blue})`;
      context.fillRect(Math.floor((bar * width) / 7), 0, Math.ceil(width / 7), height);
    });
    // Something that moves, so that each frame is a new one, where no bar is measured.
    context.fillStyle = 'white';
    context.fillRect((count++ * 8) % width, height - 12, 24, 12);
  };
  draw();
  setInterval(draw, 1000 / fps);
  return canvas.captureStream(fps).getVideoTracks()[0];
}

/** A track that plays a tone. */
export async function toneTrack(hertz) {
  const context = new AudioContext({ sampleRate: 48000 });
  await context.resume();
  const tone = new OscillatorNode(context, { frequency: hertz });
  const volume = new GainNode(context, { gain: 0.5 });
  const destination = new MediaStreamAudioDestinationNode(context);
  tone.connect(volume).connect(destination);
  tone.start();
  return destination.stream.getAudioTracks()[0];
}

/** The colours of the seven bars in what a video element shows, and the picture's size. */
export async function measureBars(video, who, atLeast, milliseconds) {
  const first = shown(video);
  // A picture may have been counted that is not yet there to be drawn.
  const there = () => video.videoWidth > 0 && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
  await until(`pictures of ${who}`, () => there() && shown(video) >= first + atLeast, milliseconds);
  const canvas = Object.assign(document.createElement('canvas'), { width: video.videoWidth, height: video.videoHeight });
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(video, 0, 0);
  const bars = BARS.map((_, bar) => {
    const [left, top] = [Math.floor(((bar + 0.3) * canvas.width) / 7), Math.floor(canvas.height * 0.3)];
    const { data } = context.getImageData(left, top, Math.max(1, Math.floor((canvas.width / 7) * 0.4)), Math.floor(canvas.height * 0.4));
    const sum = [0, 0, 0];
    for (let place = 0; place < data.length; place += 4) for (let colour = 0; colour < 3; colour++) sum[colour] += data[place + colour];
    return sum.map((each) => Math.round(each / (data.length / 4)));
  });
  return { bars, width: canvas.width, height: canvas.height, frames: shown(video) };
}

/** The strongest frequency of a track, and its level in dB; with `near` the first that is near it. */
export async function measureTone(track, who, milliseconds, near) {
  const context = new AudioContext();
  await context.resume();
  const analyser = new AnalyserNode(context, { fftSize: 8192, smoothingTimeConstant: 0 });
  new MediaStreamAudioSourceNode(context, { mediaStream: new MediaStream([track]) }).connect(analyser);
  const bins = new Float32Array(analyser.frequencyBinCount);
  const measure = () => {
    analyser.getFloatFrequencyData(bins);
    const best = bins.reduce((at, level, bin) => (level > bins[at] ? bin : at), 1);
    return { hertz: (best * context.sampleRate) / analyser.fftSize, decibel: bins[best] };
  };
  const fits = ({ hertz, decibel }) => decibel > -38 && (near === undefined || Math.abs(hertz - near) < 12);
  try {
    // What is measured reaches 170 ms back: a tone that has just begun, or was stretched, is not yet what it is.
    let first;
    return await until(`a tone of ${who}`, () => {
      const now = { ...measure(), at: performance.now() };
      if (!fits(now)) first = undefined;
      else if (first === undefined || Math.abs(now.hertz - first.hertz) > 6) first = now;
      return first !== undefined && now.at - first.at > 200 ? now : undefined;
    }, milliseconds);
  } finally {
    await context.close();
  }
}

/** Has the page answer the tests: what a call gives, or what went wrong with what happened last. */
export function answer(calls, events) {
  window.ask = async (name, parameters = {}) => {
    try {
      return { ok: await calls[name](parameters) };
    } catch (error) {
      return { error: `${name}: ${error?.message ?? error}`, events: events.slice(-20) };
    }
  };
  window.ready = true;
}
