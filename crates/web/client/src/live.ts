// SPDX-License-Identifier: EUPL-1.2
/** A live stream, for whoever watches: asked for until it is there, then played, by the browser itself or by hls.js. */
import type Hls from 'hls.js';
import { Store } from './store.ts';

export type LiveState =
  /** It has not begun, as far as is known. */
  | 'waiting'
  | 'playing'
  | 'ended'
  /** There is no such stream, or no more. */
  | 'gone'
  /** The server can't be reached, or what it sends can't be played. */
  | 'failed';

/** How often it is asked whether a stream has begun, in milliseconds. */
const ASK_AGAIN = 2_000;
/** How long a stream that broke off is tried anew before that is said. */
const PATIENCE = 20_000;

export const playlistOf = (key: string): string => `/live/${encodeURIComponent(key)}/index.m3u8`;

/** What a playlist's HTTP status says of its stream. */
export function stateOf(status: number): LiveState {
  if (status >= 200 && status < 300) return 'playing';
  if (status === 503) return 'waiting';
  return status === 404 ? 'gone' : 'failed';
}

/** Whether the browser plays playlists itself, better than a script does: Apple's. */
export function playsItself(video: HTMLVideoElement, vendor: string): boolean {
  return vendor.startsWith('Apple') && video.canPlayType('application/vnd.apple.mpegurl') !== '';
}

export class LiveStream extends Store<{ state: LiveState; silent: boolean }> {
  readonly #url: string;
  readonly #video: HTMLVideoElement;
  #hls: Hls | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #brokenSince = 0;
  #closed = false;

  constructor(key: string, video: HTMLVideoElement) {
    super({ state: 'waiting', silent: false });
    this.#url = playlistOf(key);
    this.#video = video;
    video.addEventListener('ended', () => this.#end());
    video.addEventListener('playing', () => (this.#brokenSince = 0));
    video.addEventListener('error', () => void this.#ask());
    void this.#ask();
  }

  /** Turns the sound on, which browsers allow only after a click. */
  unmute(): void {
    this.#video.muted = false;
    this.patch({ silent: false });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#hls?.destroy();
    this.#hls = undefined;
  }

  async #ask(): Promise<void> {
    clearTimeout(this.#timer);
    const status = await fetch(this.#url, { cache: 'no-store' }).then((answer) => answer.status, () => 0);
    if (this.#closed) return;
    let state = stateOf(status);
    // One that was there is gone: it has ended.
    if (state === 'gone' && this.value.state === 'playing') state = 'ended';
    if (state === 'failed') {
      this.#brokenSince ||= Date.now();
      if (Date.now() - this.#brokenSince < PATIENCE) state = this.value.state === 'playing' ? 'playing' : 'waiting';
    }
    this.patch({ state });
    if (status >= 200 && status < 300) await this.#play();
    else if (state === 'waiting' || state === 'playing' || state === 'failed') this.#later();
  }

  #later(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#ask(), ASK_AGAIN);
  }

  async #play(): Promise<void> {
    this.#hls?.destroy();
    this.#hls = undefined;
    if (playsItself(this.#video, navigator.vendor)) {
      this.#video.src = this.#url;
    } else {
      const { default: Hls } = await import('hls.js');
      if (this.#closed) return;
      if (!Hls.isSupported()) return this.patch({ state: 'failed' });
      // Its worker would come from a blob, which the page's policy forbids.
      const hls = new Hls({ enableWorker: false, lowLatencyMode: true, backBufferLength: 30 });
      this.#hls = hls;
      hls.on(Hls.Events.ERROR, (_, { fatal, type }) => {
        if (!fatal || this.#hls !== hls) return;
        if (type === Hls.ErrorTypes.MEDIA_ERROR && this.#brokenSince === 0) {
          this.#brokenSince = Date.now();
          return hls.recoverMediaError();
        }
        hls.destroy();
        this.#hls = undefined;
        this.#later();
      });
      hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => {
        if (!details.live) this.#untilPlayed(this.#video.currentTime);
      });
      hls.loadSource(this.#url);
      hls.attachMedia(this.#video);
    }
    await this.#video.play().catch(() => {
      this.#video.muted = true;
      this.patch({ silent: true });
      return this.#video.play().catch(() => undefined);
    });
  }

  /** Nothing more comes: it has ended when what is there was played. Not every player says so of the last picture. */
  #untilPlayed(before: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const { currentTime, paused } = this.#video;
      if (currentTime === before && !paused) this.#end();
      else this.#untilPlayed(currentTime);
    }, ASK_AGAIN);
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#hls?.destroy();
    this.#hls = undefined;
    this.patch({ state: 'ended', silent: false });
  }
}
