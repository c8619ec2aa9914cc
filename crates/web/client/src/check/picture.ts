// SPDX-License-Identifier: EUPL-1.2
/**
 * What the check sends to itself: a picture with a known colour and a known tone, so that what comes back can be told from
 * nothing, and no camera is needed for it. The rest of the picture is noise, which no codec makes small: it shows how much the line takes.
 */
export const WIDTH = 640;
export const HEIGHT = 360;
const FPS = 15;
const GRAIN = 8;
const GREEN = [0, 168, 84] as const;
export const HERTZ = 440;

export interface Sample {
  video: MediaStreamTrack;
  audio: MediaStreamTrack;
  stop(): void;
}

export async function startSample(): Promise<Sample> {
  const canvas = document.createElement('canvas');
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const pen = canvas.getContext('2d');
  if (pen === null) throw new Error('this browser draws no pictures');
  const grain = document.createElement('canvas');
  grain.width = WIDTH / GRAIN / 2;
  grain.height = HEIGHT / GRAIN;
  const fine = grain.getContext('2d');
  const dots = fine?.createImageData(grain.width, grain.height);
  const draw = () => {
    if (fine && dots) {
      for (let i = 0; i < dots.data.length; i++) dots.data[i] = i % 4 === 3 ? 255 : Math.random() * 255;
      fine.putImageData(dots, 0, 0);
      pen.imageSmoothingEnabled = false;
      pen.drawImage(grain, WIDTH / 2, 0, WIDTH / 2, HEIGHT);
    }
    pen.fillStyle = `rgb(${GREEN.join(' ')})`;
    pen.fillRect(0, 0, WIDTH / 2, HEIGHT);
  };
  draw();
  const timer = setInterval(draw, 1000 / FPS);
  const [video] = canvas.captureStream(FPS).getVideoTracks();

  const context = new AudioContext();
  const tone = new OscillatorNode(context, { frequency: HERTZ });
  const out = new MediaStreamAudioDestinationNode(context);
  tone.connect(new GainNode(context, { gain: 0.3 })).connect(out);
  tone.start();
  await context.resume().catch(() => undefined);
  const [audio] = out.stream.getAudioTracks();
  if (video === undefined || audio === undefined) throw new Error('this browser makes no tracks of pictures and tones');
  const stop = () => {
    clearInterval(timer);
    video.stop();
    audio.stop();
    void context.close();
  };
  return { video, audio, stop };
}

/** Whether the left half of a picture is the green that was sent, as far as a codec leaves it. */
export function isGreen([red = 0, green = 0, blue = 0]: ArrayLike<number> & Iterable<number>): boolean {
  return Math.abs(red - GREEN[0]) < 50 && Math.abs(green - GREEN[1]) < 50 && Math.abs(blue - GREEN[2]) < 50;
}

/** Whether the loudest of the frequencies is the tone that was sent. */
export function isTone(levels: ArrayLike<number>, hertzPerBin: number): boolean {
  let peak = 0;
  for (let i = 1; i < levels.length; i++) if ((levels[i] ?? -Infinity) > (levels[peak] ?? -Infinity)) peak = i;
  return (levels[peak] ?? -Infinity) > -60 && Math.abs(peak * hertzPerBin - HERTZ) <= 1.5 * hertzPerBin;
}
