// SPDX-License-Identifier: EUPL-1.2
/** Tracks as things to be shown: each track is one object for as long as it lives, so that views need not attach it again. */
import { RemoteVideoTrack, type Track } from 'livekit-client';
import type { Media, Picture, Sound } from './state.ts';

/** Whoever is seen is attached by then. */
const SEEN_BY_MS = 400;

export class MediaRegistry {
  readonly #known = new WeakMap<Track, Media<HTMLMediaElement>>();
  #lastId = 0;

  picture(track: Track): Picture {
    return this.#of(track);
  }

  sound(track: Track): Sound {
    return this.#of(track);
  }

  #of(track: Track): Media<HTMLMediaElement> {
    let media = this.#known.get(track);
    if (media === undefined) {
      media = {
        id: ++this.#lastId,
        attach: (element) => {
          // Through livekit-client, which then watches the element's size and asks for no more than that.
          track.attach(element);
          return () => track.detach(element);
        },
      };
      this.#known.set(track, media);
      if (track instanceof RemoteVideoTrack) setTimeout(() => holdBack(track), SEEN_BY_MS);
    }
    return media;
  }
}

/**
 * livekit-client tells the server that a picture is not looked at only when it goes out of sight. One that never was in sight
 * would come by the network all the same, so it is shown for no time at all.
 */
function holdBack(track: RemoteVideoTrack): void {
  if (track.attachedElements.length > 0) return;
  const nobody = document.createElement('video');
  track.attach(nobody);
  track.detach(nobody);
}
