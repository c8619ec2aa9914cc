// SPDX-License-Identifier: EUPL-1.2
/** What the check asks of this browser and this server. */
import { measureLevel } from '../devices/level.ts';
import { problemOf } from '../devices/media.ts';
import { canEncrypt } from '../e2ee/gate.ts';
import { nameOfBrowser } from './agent.ts';
import type { Probes } from './steps.ts';

const SOCKET_MS = 8_000;
/** A person takes a breath in that time; a dead microphone gives nothing but zeros. */
const LISTEN_MS = 1_500;
const FRAME_MS = 5_000;

/** Fetched with the first press of the button: it holds livekit-client. */
const loop = () => import('./loop.ts');

export const probes: Probes = {
  browser: () => ({
    name: nameOfBrowser(navigator.userAgent),
    able: 'RTCPeerConnection' in globalThis && 'mediaDevices' in navigator && 'WebSocket' in globalThis,
    encrypts: canEncrypt(),
  }),
  secure: () => globalThis.isSecureContext,
  device: async (kind) => {
    let stream: MediaStream;
    try {
      stream = await navigator.mediaDevices.getUserMedia(kind === 'camera' ? { video: true } : { audio: true });
    } catch (error) {
      const problem = problemOf(error);
      return problem === 'insecure' ? 'failed' : problem;
    }
    try {
      const [track] = stream.getTracks();
      if (track === undefined) return 'failed';
      return (await (kind === 'camera' ? shows(stream) : sounds(track))) ? 'works' : 'silent';
    } finally {
      for (const track of stream.getTracks()) track.stop();
    }
  },
  // The signalling's own address, without a token: the server's refusal comes through a WebSocket only where those get through.
  socket: async () => {
    const { token } = await (await loop()).anyTicket();
    const url = `${location.origin.replace(/^http/, 'ws')}/rtc?protocol=16&access_token=${encodeURIComponent(token)}`;
    return new Promise((resolve) => {
      const socket = new WebSocket(url);
      const end = (opened: boolean) => {
        clearTimeout(timer);
        resolve(opened);
        socket.close();
      };
      const timer = setTimeout(() => end(false), SOCKET_MS);
      // Not the opening alone: some proxies answer that by themselves, and then let nothing through.
      socket.onmessage = () => end(true);
      socket.onerror = () => end(false);
      socket.onclose = () => end(false);
    });
  },
  call: async () => (await loop()).callOneself(),
  path: async (path) => (await loop()).tryPath(path),
};

/** Whether a camera gives a picture that is not black all over. */
async function shows(stream: MediaStream): Promise<boolean> {
  const video = document.createElement('video');
  video.muted = true;
  video.srcObject = stream;
  await video.play().catch(() => undefined);
  const canvas = document.createElement('canvas');
  canvas.width = 8;
  canvas.height = 8;
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  for (const end = performance.now() + FRAME_MS; performance.now() < end; ) {
    pen?.drawImage(video, 0, 0, 8, 8);
    const seen = pen?.getImageData(0, 0, 8, 8).data ?? [];
    if (seen.some((value, i) => i % 4 !== 3 && value > 24)) return true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return false;
}

function sounds(track: MediaStreamTrack): Promise<boolean> {
  return new Promise((resolve) => {
    let heard = false;
    const stop = measureLevel(track, (_, peak) => (heard ||= peak > 0));
    setTimeout(() => {
      stop();
      resolve(heard);
    }, LISTEN_MS);
  });
}
