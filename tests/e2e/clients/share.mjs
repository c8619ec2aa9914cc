// SPDX-License-Identifier: EUPL-1.2
// What the Node caller does besides pictures and sound: streams, calls of methods, scenarios.
import { RoomEvent } from '@livekit/rtc-node';
import { createHash } from 'node:crypto';

/** The bytes that every kind of caller makes for itself, and that no two places of a stream share. */
function noise(length) {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let place = 0; place < words.length; place++) {
    let word = Math.imul(place ^ (place >>> 16), 0x7feb352d);
    word = Math.imul(word ^ (word >>> 15), 0x846ca68b);
    words[place] = word ^ (word >>> 16);
  }
  return new Uint8Array(words.buffer, 0, length);
}

const digest = (data) => createHash('sha256').update(data).digest('hex');

/** The calls; `until` waits, `events` takes names down. */
export function sharing({ room, until, events }) {
  const streams = [];
  room.registerByteStreamHandler('bytes', async (reader, { identity }) => {
    const total = createHash('sha256');
    const stream = { from: identity, bytes: 0 };
    streams.push(stream);
    for await (const part of reader) {
      total.update(part);
      stream.bytes += part.length;
    }
    stream.sha256 = total.digest('hex');
  });
  room.registerTextStreamHandler('text', async (reader, { identity }) => {
    const text = await reader.readAll();
    streams.push({ from: identity, characters: text.length, sha256: digest(text) });
  });
  room.on(RoomEvent.Moved, () => events.push('Moved'));

  const connected = () => {
    room.localParticipant.registerRpcMethod('double', async ({ payload, callerIdentity }) => {
      events.push(`called by ${callerIdentity}`);
      return String(Number(payload) * 2);
    });
  };

  const calls = {
    async sendBytes({ length, to }) {
      const writer = await room.localParticipant.streamBytes({ name: 'noise.bin', topic: 'bytes', totalSize: length, destinationIdentities: to });
      const data = noise(length);
      for (let start = 0; start < length; start += 150_000) await writer.write(data.slice(start, start + 150_000));
      await writer.close();
      return digest(data);
    },

    async sendText({ length, to, noisy = false }) {
      const repeated = () => '0123456789 é€𝄞 '.repeat(Math.ceil(length / 15));
      const text = (noisy ? Buffer.from(noise(length)).toString('base64') : repeated()).slice(0, length);
      await room.localParticipant.sendText(text, { topic: 'text', destinationIdentities: to });
      return digest(text);
    },

    async untilStream({ from, sha256, milliseconds = 60000 }) {
      return until(`a stream of ${from}`, () => streams.find((each) => each.from === from && each.sha256 === sha256), milliseconds);
    },

    async callMethod({ identity, method = 'double', payload }) {
      return room.localParticipant.performRpc({ destinationIdentity: identity, method, payload });
    },

    async transcribe({ text, trackSid }) {
      const segments = [{ id: 's', text, startTime: 0n, endTime: 1n, final: true, language: 'en' }];
      await room.localParticipant.publishTranscription({ participantIdentity: room.localParticipant.identity, trackSid, segments });
    },

    async setAttributes(attributes) {
      await room.localParticipant.setAttributes(attributes);
    },

    async setMetadata({ metadata }) {
      await room.localParticipant.updateMetadata(metadata);
    },

    async state() {
      const participants = [...room.remoteParticipants.values()].map((each) => ({
        identity: each.identity, sid: each.sid, name: each.name, metadata: each.metadata, attributes: each.attributes,
        tracks: [...each.trackPublications.values()].map((track) => ({ sid: track.sid, muted: track.muted, mime: track.mimeType })),
      }));
      return { connected: room.isConnected, participants };
    },

    async simulate({ scenario }) {
      await room.simulateScenario(scenario);
    },

    async roomName() {
      return room.name;
    },
  };
  return { calls, connected };
}
