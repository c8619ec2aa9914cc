// SPDX-License-Identifier: EUPL-1.2
/** An effect as livekit-client takes it: it is begun anew for each track of the device, and ends with it. */
import type { ProcessorOptions, Track, TrackProcessor } from 'livekit-client';
import type { Running } from './picture.ts';

export class Processed<K extends Track.Kind, R extends Running> implements TrackProcessor<K, ProcessorOptions<K>> {
  readonly name: string;
  readonly #begin: (track: MediaStreamTrack) => Promise<R>;
  readonly #orNothing: boolean;
  #running: R | undefined;
  /** Counts beginnings and ends, so that what comes too late is stopped. */
  #turn = 0;

  /**
   * `begin` fails rather than give a track that shows what it should not. With `orNothing` the device is then turned off: whoever asked
   * for its track gets none, and would leave it on.
   */
  constructor(name: string, begin: (track: MediaStreamTrack) => Promise<R>, orNothing: boolean) {
    this.name = name;
    this.#begin = begin;
    this.#orNothing = orNothing;
  }

  get running(): R | undefined {
    return this.#running;
  }

  get processedTrack(): MediaStreamTrack | undefined {
    return this.#running?.track;
  }

  init({ track }: Pick<ProcessorOptions<K>, 'track'>): Promise<void> {
    return this.restart({ track });
  }

  async restart({ track }: Pick<ProcessorOptions<K>, 'track'>): Promise<void> {
    const turn = ++this.#turn;
    this.#running?.stop();
    this.#running = undefined;
    let running: R;
    try {
      running = await this.#begin(track);
    } catch (error) {
      if (this.#orNothing) track.stop();
      throw error;
    }
    if (turn === this.#turn) this.#running = running;
    else running.stop();
  }

  async destroy(): Promise<void> {
    this.#turn++;
    this.#running?.stop();
    this.#running = undefined;
  }
}
