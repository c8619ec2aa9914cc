// SPDX-License-Identifier: EUPL-1.2
// A server of ours around mediasoup, to put a load on. mediasoup is a library and has no signalling of its own; this is the
// least that benches/load needs, and no more: for each room a router, for each participant a WebSocket and up to two
// transports, all on one worker. The messages are told in benches/load/src/signalling/mediasoup.rs.
//
//     node server.mjs --port 20880 --media-ports 21000-30999

import { parseArgs } from 'node:util';
import * as mediasoup from 'mediasoup';
import { WebSocketServer } from 'ws';

const ADDRESS = '127.0.0.1';
const CODECS = [
  { kind: 'audio', mimeType: 'audio/opus', clockRate: 48_000, channels: 2 },
  { kind: 'video', mimeType: 'video/VP8', clockRate: 90_000 },
];
// A network that is known to be fast, as the other servers are told: mediasoup's own beginning is 600 kbit/s.
const START_BITRATE = 50_000_000;

const { values } = parseArgs({
  options: { port: { type: 'string' }, 'media-ports': { type: 'string', default: '21000-30999' } },
});
const [rtcMinPort, rtcMaxPort] = values['media-ports'].split('-').map(Number);
const worker = await mediasoup.createWorker({ logLevel: 'warn', rtcMinPort, rtcMaxPort });
worker.on('died', (error) => {
  console.error('the worker died:', error);
  process.exit(1);
});

/** Rooms by name, or what will become them. */
const rooms = new Map();

class Room {
  members = new Set();

  constructor(router) {
    this.router = router;
  }

  static named(name) {
    if (!rooms.has(name)) {
      rooms.set(name, worker.createRouter({ mediaCodecs: CODECS }).then((router) => new Room(router)));
    }
    return rooms.get(name);
  }

  transport() {
    return this.router.createWebRtcTransport({
      listenIps: [{ ip: ADDRESS }],
      initialAvailableOutgoingBitrate: START_BITRATE,
    });
  }

  producers() {
    return [...this.members].flatMap((member) => member.producers);
  }

  /** What is sent, less the header extensions that mediasoup has no use for. */
  known(rtpParameters) {
    const uris = new Set(this.router.rtpCapabilities.headerExtensions.map((extension) => extension.uri));
    const headerExtensions = rtpParameters.headerExtensions.filter((extension) => uris.has(extension.uri));
    return { ...rtpParameters, headerExtensions };
  }
}

class Member {
  producers = [];
  /** What is asked is done one after the other. */
  work = Promise.resolve();

  constructor(socket) {
    this.socket = socket;
    socket.on('message', (text) => {
      this.work = this.work.then(() => this.hear(JSON.parse(text))).catch((error) => this.fail(error));
    });
    socket.on('close', () => this.leave());
  }

  say(message) {
    this.socket.send(JSON.stringify(message));
  }

  fail(error) {
    console.error(error);
    this.say({ error: String(error) });
  }

  async hear(message) {
    if (message.join) await this.join(message.join);
    else if (message.publish) await this.publish(message.publish);
    else if (message.receive) await this.receiving.connect({ dtlsParameters: message.receive.dtls });
    else throw new Error(`nobody knows what ${Object.keys(message)} means`);
  }

  async join({ room, receives }) {
    this.room = await Room.named(room);
    if (receives) this.receiving = await this.room.transport();
    // Nothing may come between these two: who publishes later finds this one among the members.
    const producers = this.room.producers();
    this.room.members.add(this);
    this.say({ welcome: { receiving: this.receiving && described(this.receiving), producers: producers.length } });
    await this.consume(producers);
  }

  async publish({ dtls, tracks }) {
    this.sending = await this.room.transport();
    await this.sending.connect({ dtlsParameters: dtls });
    const made = [];
    for (const { kind, rtpParameters } of tracks) {
      made.push(await this.sending.produce({ kind, rtpParameters: this.room.known(rtpParameters) }));
    }
    this.say({ published: { sending: described(this.sending) } });
    // Nothing may come between these two, either: whoever joins later finds these streams.
    this.producers = made;
    const others = [...this.room.members].filter((member) => member !== this);
    await Promise.all(others.map((member) => member.consume(this.producers).catch((error) => member.fail(error))));
  }

  async consume(producers) {
    if (!this.receiving || producers.length === 0) return;
    const { rtpCapabilities } = this.room.router;
    const made = producers.map(({ id }) => this.receiving.consume({ producerId: id, rtpCapabilities }));
    const consumers = await Promise.all(made);
    this.say({ consumers: consumers.map(({ kind, rtpParameters }) => ({ kind, rtpParameters })) });
  }

  leave() {
    this.room?.members.delete(this);
    this.sending?.close();
    this.receiving?.close();
  }
}

function described({ iceParameters, iceCandidates, dtlsParameters }) {
  return { iceParameters, iceCandidates, dtlsParameters };
}

const server = new WebSocketServer({ host: ADDRESS, port: Number(values.port) });
server.on('connection', (socket) => new Member(socket));
server.on('listening', () => console.log(`ready ws://${ADDRESS}:${values.port}`));
