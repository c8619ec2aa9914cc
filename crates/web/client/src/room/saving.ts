// SPDX-License-Identifier: EUPL-1.2
/** What is asked of the server where the user wants little to come by the network. */
import { type RemoteParticipant, Track, VideoQuality } from 'livekit-client';
import type { Saving } from './state.ts';

/** Tells the server, where it does not know yet. A picture that is not wanted is not subscribed to, so that nothing of it comes. */
export function applySaving(others: readonly Pick<RemoteParticipant, 'trackPublications'>[], saving: Saving): void {
  for (const participant of others) {
    for (const publication of participant.trackPublications.values()) {
      if (publication.kind !== Track.Kind.Video) continue;
      const wanted = saving !== 'audio';
      if (publication.isDesired !== wanted) publication.setSubscribed(wanted);
      // Text on a screen can't be read when it is small.
      const quality = saving === 'saver' && publication.source === Track.Source.Camera ? VideoQuality.LOW : VideoQuality.HIGH;
      if (wanted && publication.videoQuality !== quality) publication.setVideoQuality(quality);
    }
  }
}

/** Not subscribed to any more. The track itself may be there for a while yet, until the server has taken it away. */
export function isUnwanted(publication: object): boolean {
  return 'isDesired' in publication && publication.isDesired === false;
}
