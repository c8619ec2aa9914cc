// SPDX-License-Identifier: EUPL-1.2
// A page that is many people in one room, each with a picture of their own and by a connection of their own. They watch nobody.
import { Room, Track } from 'livekit-client';
import { drawnPerson, LOOKS } from './drawn.js';
import { answer } from './media.js';

const people = new Map();

const calls = {
  /** One comes and shows a drawn person, `look` of the list, at so many pixels and pictures a second. */
  async come({ url, token, identity, look, width = 320, fps = 15, bits = 120_000 }) {
    const room = new Room({ adaptiveStream: false, dynacast: false });
    await room.connect(url, token, { autoSubscribe: false });
    const canvas = drawnPerson(LOOKS[look % LOOKS.length], width, fps);
    const [track] = canvas.captureStream(fps).getVideoTracks();
    await room.localParticipant.publishTrack(track, {
      source: Track.Source.Camera, name: 'camera', videoCodec: 'vp8', simulcast: false, videoEncoding: { maxBitrate: bits, maxFramerate: fps },
    });
    people.set(identity, { room, canvas });
  },

  async go({ identity }) {
    const { room, canvas } = people.get(identity);
    people.delete(identity);
    canvas.rest();
    await room.disconnect();
  },
};

answer(calls, []);
