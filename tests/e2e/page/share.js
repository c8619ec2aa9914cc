// SPDX-License-Identifier: EUPL-1.2
// What the test page does besides pictures and sound: streams, calls of methods, data tracks, rights, encryption.
import { ExternalE2EEKeyProvider, RoomEvent } from 'livekit-client';

/** Bytes that no two places of a stream share, and that each side makes for itself. */
export function noise(length) {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let place = 0; place < words.length; place++) {
    let word = Math.imul(place ^ (place >>> 16), 0x7feb352d);
    word = Math.imul(word ^ (word >>> 15), 0x846ca68b);
    words[place] = word ^ (word >>> 16);
  }
  return new Uint8Array(words.buffer, 0, length);
}

const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
const digest = async (bytes) => hex(await crypto.subtle.digest('SHA-256', bytes));

/** By parts that are whole numbers of its groups of three bytes. */
function base64(bytes) {
  const parts = [];
  for (let start = 0; start < bytes.length; start += 30_000) parts.push(btoa(String.fromCharCode(...bytes.subarray(start, start + 30_000))));
  return parts.join('');
}

/**
 * So much of a long text is written at once. For each chunk of 15 kB the library copies all that is left of what it was given:
 * of 50 MB that would be 83 GB, and a page that says nothing for a minute or two.
 */
const PART = 1_000_000;

async function writeParts(writer, text) {
  for (let start = 0; start < text.length; start += PART) await writer.write(text.slice(start, start + PART));
  await writer.close();
}

/** Options that encrypt end to end with one key for all. */
export async function encryption(passphrase) {
  const keyProvider = new ExternalE2EEKeyProvider();
  await keyProvider.setKey(passphrase);
  return { keyProvider, worker: new Worker('/e2ee.js') };
}

/** The calls; `room` gives the room, `until` waits, `note` takes events down. */
export function sharing({ room, until, note }) {
  const streams = [];
  const frames = [];
  const said = { transcriptions: [], chat: [] };

  /** Listens to a room that is about to be joined. */
  function watch() {
    room().registerByteStreamHandler('bytes', async (reader, { identity }) => {
      const parts = [];
      const stream = { from: identity, bytes: 0 };
      streams.push(stream);
      for await (const part of reader) {
        parts.push(part);
        stream.bytes += part.length;
      }
      stream.sha256 = await digest(new Uint8Array(await new Blob(parts).arrayBuffer()));
    });
    room().registerTextStreamHandler('text', async (reader, { identity }) => {
      const text = await reader.readAll();
      streams.push({ from: identity, characters: text.length, sha256: await digest(new TextEncoder().encode(text)) });
    });
    room().registerRpcMethod('double', async ({ payload, callerIdentity }) => {
      note('RpcCalled', callerIdentity);
      return String(Number(payload) * 2);
    });
    room().on(RoomEvent.DataTrackPublished, (track) => note('DataTrackPublished', `${track.publisherIdentity} ${track.info.name}`));
    room().on(RoomEvent.DataTrackUnpublished, () => note('DataTrackUnpublished', ''));
    room().on(RoomEvent.Moved, (name) => note('Moved', name));
    room().on(RoomEvent.TrackSubscriptionPermissionChanged, (publication, status) => note('PermissionChanged', String(status)));
    room().on(RoomEvent.TranscriptionReceived, (segments, participant) => said.transcriptions.push({ from: participant?.identity, text: segments.map((each) => each.text).join(' ') }));
    room().on(RoomEvent.ChatMessage, (message, participant) => said.chat.push({ from: participant?.identity, text: message.message }));
    room().on(RoomEvent.EncryptionError, (error) => note('EncryptionError', error.message));
  }

  const remoteTrack = (identity, name) => [...(room().remoteParticipants.get(identity)?.dataTracks?.values() ?? [])].find((track) => track.info.name === name);
  const published = new Map();

  const calls = {
    async sendBytes({ length, to }) {
      const file = new File([noise(length)], 'noise.bin');
      await room().localParticipant.sendFile(file, { topic: 'bytes', destinationIdentities: to });
      return digest(noise(length));
    },

    async sendText({ length, to, noisy = false }) {
      const repeated = () => '0123456789 é€𝄞 '.repeat(Math.ceil(length / 15));
      const text = (noisy ? base64(noise(length)) : repeated()).slice(0, length);
      const options = { topic: 'text', destinationIdentities: to };
      if (length <= PART) await room().localParticipant.sendText(text, options);
      else await writeParts(await room().localParticipant.streamText(options), text);
      return digest(new TextEncoder().encode(text));
    },

    async untilStream({ from, sha256, milliseconds = 60000 }) {
      return until(`a stream of ${from}`, () => streams.find((each) => each.from === from && each.sha256 === sha256), milliseconds);
    },

    async streams() {
      return streams;
    },

    async callMethod({ identity, method = 'double', payload }) {
      return room().localParticipant.performRpc({ destinationIdentity: identity, method, payload });
    },

    async publishDataTrack({ name }) {
      const track = await room().localParticipant.publishDataTrack({ name });
      published.set(name, track);
      return track.info.sid;
    },

    async unpublishDataTrack({ name }) {
      await published.get(name).unpublish();
    },

    /** Pushes frames of so many bytes each, numbered in their first one. */
    async pushFrames({ name, count, size = 1, gap = 20 }) {
      for (let number = 0; number < count; number++) {
        const payload = noise(size).slice();
        payload[0] = number;
        await published.get(name).tryPush({ payload });
        await new Promise((done) => setTimeout(done, gap));
      }
    },

    async subscribeDataTrack({ identity, name }) {
      const track = await until(`the data track ${name} of ${identity}`, () => remoteTrack(identity, name));
      const reader = track.subscribe().getReader();
      (async () => {
        for (;;) {
          const { value, done } = await reader.read();
          if (done) return;
          frames.push({ name, number: value.payload[0], size: value.payload.length, sha256: await digest(value.payload.slice()) });
        }
      })().catch((error) => note('DataTrackEnded', error.message));
    },

    async untilFrames({ name, count }) {
      await until(`${count} frames of ${name}`, () => frames.filter((each) => each.name === name).length >= count);
      return frames.filter((each) => each.name === name);
    },

    async frameDigest({ number, size }) {
      const payload = noise(size).slice();
      payload[0] = number;
      return digest(payload);
    },

    async dataTracksOf({ identity }) {
      return [...(room().remoteParticipants.get(identity)?.dataTracks?.values() ?? [])].map((track) => track.info.name);
    },

    async allow({ all, identities = [] }) {
      const permissions = identities.map((participantIdentity) => ({ participantIdentity, allowAll: true }));
      room().localParticipant.setTrackSubscriptionPermissions(all, permissions);
    },

    async untilSaid({ kind, from, text }) {
      return until(`${kind} "${text}" of ${from}`, () => said[kind].find((each) => each.from === from && each.text === text));
    },

    async setMetadata({ metadata }) {
      await room().localParticipant.setMetadata(metadata);
    },

    async chat({ text }) {
      await room().localParticipant.sendChatMessage(text);
    },

    async encrypt({ enabled }) {
      await room().setE2EEEnabled(enabled);
    },

    async roomName() {
      return room().name;
    },
  };
  return { watch, calls };
}
