// SPDX-License-Identifier: EUPL-1.2
// A caller on the published Node SDK: reads requests as lines of JSON, answers likewise.
import {
  AudioFrame, AudioSource, AudioStream, LocalAudioTrack, LocalVideoTrack, Room, RoomEvent, TrackKind,
  TrackPublishOptions, TrackSource, VideoBufferType, VideoCodec, VideoFrame, VideoSource, VideoStream,
} from '@livekit/rtc-node';
import { createInterface } from 'node:readline';
import { sharing } from './share.mjs';

const BARS = [[192, 192, 192], [192, 192, 0], [0, 192, 192], [0, 192, 0], [192, 0, 192], [192, 0, 0], [0, 0, 192]];
const RATE = 48000;
const WINDOW = 8192;
const room = new Room();
const tracks = new Map();
const data = [];
const events = [];
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

room.on(RoomEvent.TrackSubscribed, (track, publication, participant) => tracks.set(`${participant.identity} ${track.kind}`, track));
room.on(RoomEvent.DataReceived, (payload, participant) => data.push({ from: participant?.identity, text: Buffer.from(payload).toString() }));
for (const name of ['Reconnecting', 'Reconnected', 'Disconnected', 'TrackMuted']) room.on(RoomEvent[name], () => events.push(name));

async function until(what, look, milliseconds = 20000) {
  const end = Date.now() + milliseconds;
  for (;;) {
    const found = look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited ${milliseconds} ms for ${what}; ${events}`);
    await pause(50);
  }
}

/** The first value that `take` makes of a stream's items. */
async function first(stream, milliseconds, take) {
  const reader = stream.getReader();
  const late = pause(milliseconds).then(() => { throw new Error(`nothing in ${milliseconds} ms`); });
  try {
    for (;;) {
      const { value, done } = await Promise.race([reader.read(), late]);
      if (done) throw new Error('the stream ended');
      const found = take(value);
      if (found) return found;
    }
  } finally {
    reader.cancel().catch(() => {});
    late.catch(() => {});
  }
}

/** The strongest frequency near those that a voice or a test tone has, by Goertzel's filter. */
function strongest(samples) {
  let best = { hertz: 0, decibel: -200 };
  for (let hertz = 100; hertz <= 2000; hertz += RATE / WINDOW) {
    const turn = 2 * Math.cos((2 * Math.PI * hertz) / RATE);
    let [before, last] = [0, 0];
    for (let place = 0; place < WINDOW; place++) {
      const weight = 0.5 - 0.5 * Math.cos((2 * Math.PI * place) / WINDOW);
      [before, last] = [last, (samples[place] / 32768) * weight + turn * last - before];
    }
    const power = (before * before + last * last - turn * before * last) / (WINDOW * WINDOW);
    const decibel = 10 * Math.log10(power + 1e-20);
    if (decibel > best.decibel) best = { hertz, decibel };
  }
  return best;
}

const calls = {
  async connect({ url, token, passphrase }) {
    const start = Date.now();
    const encryption = passphrase && { keyProviderOptions: { sharedKey: new TextEncoder().encode(passphrase) } };
    await room.connect(url, token, { autoSubscribe: true, dynacast: false, encryption });
    shared.connected();
    return { milliseconds: Date.now() - start, sid: room.localParticipant.sid };
  },

  async publishBars({ width = 640, height = 360, fps = 15, simulcast = false, codec = 'vp8', scalabilityMode }) {
    const source = new VideoSource(width, height);
    const track = LocalVideoTrack.createVideoTrack('bars', source);
    const options = new TrackPublishOptions({ source: TrackSource.SOURCE_CAMERA, simulcast, videoCodec: VideoCodec[codec.toUpperCase()], scalabilityMode });
    const published = await room.localParticipant.publishTrack(track, options);
    const picture = new Uint8Array(width * height * 4).fill(255);
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) picture.set(BARS[Math.floor((x * 7) / width)], (y * width + x) * 4);
    let count = 0;
    setInterval(() => {
      const frame = picture.slice();
      const left = (count++ * 8) % (width - 24);
      for (let y = height - 12; y < height; y++) frame.fill(255, (y * width + left) * 4, (y * width + left + 24) * 4);
      source.captureFrame(new VideoFrame(frame, width, height, VideoBufferType.RGBA));
    }, 1000 / fps);
    return published.sid;
  },

  async publishTone({ hertz = 440 }) {
    const source = new AudioSource(RATE, 1);
    const track = LocalAudioTrack.createAudioTrack('tone', source);
    const published = await room.localParticipant.publishTrack(track, new TrackPublishOptions({ source: TrackSource.SOURCE_MICROPHONE }));
    const play = async () => {
      for (let count = 0; ; count++) {
        const samples = Int16Array.from({ length: RATE / 100 }, (_, at) => 16000 * Math.sin((2 * Math.PI * hertz * (at + (count * RATE) / 100)) / RATE));
        await source.captureFrame(new AudioFrame(samples, RATE, 1, samples.length));
      }
    };
    play().catch(() => {});
    return published.sid;
  },

  async seen({ identity, atLeast = 2, milliseconds = 20000 }) {
    const track = await until(`a video track of ${identity}`, () => tracks.get(`${identity} ${TrackKind.KIND_VIDEO}`), milliseconds);
    let count = 0;
    const frame = await first(new VideoStream(track), milliseconds, (event) => ++count >= atLeast && event.frame.convert(VideoBufferType.RGB24));
    const { width, height } = frame;
    const bars = BARS.map((_, bar) => {
      const sum = [0, 0, 0];
      let pixels = 0;
      for (let y = Math.floor(height * 0.3); y < height * 0.7; y += 2) {
        for (let x = Math.floor(((bar + 0.3) * width) / 7); x < ((bar + 0.7) * width) / 7; x += 2, pixels++) {
          for (let colour = 0; colour < 3; colour++) sum[colour] += frame.data[(y * width + x) * 3 + colour];
        }
      }
      return sum.map((each) => Math.round(each / pixels));
    });
    return { bars, width, height, frames: count };
  },

  async heard({ identity, milliseconds = 20000 }) {
    const track = await until(`an audio track of ${identity}`, () => tracks.get(`${identity} ${TrackKind.KIND_AUDIO}`), milliseconds);
    let held = [];
    return first(new AudioStream(track, RATE, 1), milliseconds, (frame) => {
      held.push(...frame.data);
      if (held.length < WINDOW) return undefined;
      const found = strongest(held);
      held = [];
      return found.decibel > -38 ? found : undefined;
    });
  },

  async say({ text, reliable = true }) {
    await room.localParticipant.publishData(new TextEncoder().encode(text), { reliable });
  },

  async data() {
    return data;
  },

  async untilData({ from, text }) {
    return until(`"${text}" of ${from}`, () => data.find((each) => each.from === from && each.text === text));
  },

  async log() {
    return events;
  },

  async leave() {
    await room.disconnect();
  },
};

const shared = sharing({ room, until, events });
Object.assign(calls, shared.calls);

// A test that ends, however it ends, takes its callers along.
process.stdin.on('end', () => process.exit(0));
createInterface({ input: process.stdin }).on('line', async (line) => {
  const { id, name, parameters } = JSON.parse(line);
  const reply = await calls[name](parameters).then((ok) => ({ id, ok: ok ?? null }), (error) => ({ id, error: `${name}: ${error?.message ?? error}` }));
  process.stdout.write(`${JSON.stringify(reply)}\n`);
});
