// SPDX-License-Identifier: EUPL-1.2
// The publisher of the measurement of quality under loss: a moving picture in three sizes, each with all its frames, and
// a tone. It draws, and so encodes, only while it is told to.
import { Room, Track, VideoPreset } from 'livekit-client';

const [WIDTH, HEIGHT, FPS] = [1280, 720, 30];
// The library's own sizes and rates, but 30 frames a second in each: it would give the small ones 20.
const LAYERS = [new VideoPreset(320, 180, 160_000, FPS), new VideoPreset(640, 360, 450_000, FPS)];
const TOP = { maxBitrate: 1_700_000, maxFramerate: FPS };

const connections = [];
const Original = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Original {
  constructor(...parameters) {
    super(...parameters);
    connections.push(this);
  }
};

let drawn = 0;
let timer;
let draw;
let since;

/** A texture with grain of four pixels, so that something of it is left in the smallest size. */
function texture() {
  const canvas = Object.assign(document.createElement('canvas'), { width: WIDTH * 2, height: HEIGHT });
  const context = canvas.getContext('2d');
  let seed = 7;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  for (let y = 0; y < HEIGHT; y += 4) {
    for (let x = 0; x < canvas.width; x += 4) {
      const light = 45 + 14 * Math.sin(x / 23 + 2 * Math.sin(y / 31)) + 10 * Math.sin(y / 17) + 6 * (random() - 0.5);
      context.fillStyle = `hsl(${(x / 7) % 360} 40% ${light}%)`;
      context.fillRect(x, y, 4, 4);
    }
  }
  return canvas;
}

/** Frames encoded so far, by layer. */
async function encoded() {
  const layers = {};
  for (const connection of connections) {
    for (const each of (await connection.getStats()).values()) {
      if (each.type === 'outbound-rtp' && each.kind === 'video') layers[each.rid] = each.framesEncoded ?? 0;
    }
  }
  return layers;
}

const calls = {
  async publish({ url, token }) {
    const room = new Room({ adaptiveStream: false, dynacast: false });
    await room.connect(url, token);
    const canvas = Object.assign(document.createElement('canvas'), { width: WIDTH, height: HEIGHT });
    const context = canvas.getContext('2d');
    const ground = texture();
    draw = () => {
      // The ground goes there and back, a bar goes over it.
      const turn = (drawn % 120) / 120;
      context.drawImage(ground, -Math.round((WIDTH / 4) * (1 - Math.cos(2 * Math.PI * turn))), 0);
      context.fillStyle = 'white';
      context.fillRect(Math.round(turn * WIDTH), HEIGHT / 3, 60, HEIGHT / 3);
      drawn++;
    };
    draw();
    const video = canvas.captureStream(FPS).getVideoTracks()[0];
    await room.localParticipant.publishTrack(video, {
      source: Track.Source.Camera, videoCodec: 'vp8', simulcast: true, videoSimulcastLayers: LAYERS, videoEncoding: TOP,
    });
    const audio = new AudioContext({ sampleRate: 48000 });
    await audio.resume();
    const tone = new OscillatorNode(audio, { frequency: 440 });
    const volume = new GainNode(audio, { gain: 0.5 });
    const destination = new MediaStreamAudioDestinationNode(audio);
    tone.connect(volume).connect(destination);
    tone.start();
    await room.localParticipant.publishTrack(destination.stream.getAudioTracks()[0], { source: Track.Source.Microphone, dtx: false });
  },

  async on() {
    since = { at: performance.now(), drawn, encoded: await encoded() };
    timer ??= setInterval(draw, 1000 / FPS);
  },

  async off() {
    clearInterval(timer);
    timer = undefined;
    const seconds = (performance.now() - since.at) / 1000;
    const now = await encoded();
    const layers = Object.entries(now).map(([rid, frames]) => [rid, (frames - (since.encoded[rid] ?? 0)) / seconds]);
    return { drawn_fps: (drawn - since.drawn) / seconds, encoded_fps: Object.fromEntries(layers) };
  },
};

window.ask = async (name, parameters) => {
  try {
    return { ok: (await calls[name](parameters)) ?? {} };
  } catch (error) {
    return { error: `${name}: ${error.message}` };
  }
};
window.ready = true;
