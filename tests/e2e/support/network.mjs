// SPDX-License-Identifier: EUPL-1.2
// A network of our own between one client and the server: it passes everything on, until it is told to lose it.
import { createSocket } from 'node:dgram';
import { createServer, connect } from 'node:net';

const LOOPBACK = '127.0.0.1';
const bound = (socket) => new Promise((done) => socket.bind(0, LOOPBACK, () => done(socket)));

export class Network {
  /** A network whose far end is the server at `url`. */
  static async to(url) {
    const network = new Network();
    network.up = true;
    network.impair();
    network.streams = new Set();
    network.fronts = new Map();
    network.paths = new Set();
    const { port } = new URL(url);
    network.listener = createServer((near) => network.#stream(near, Number(port)));
    await new Promise((done) => network.listener.listen(0, LOOPBACK, done));
    return network;
  }

  /** Where the client connects for signalling. */
  get ws() {
    return `ws://${LOOPBACK}:${this.listener.address().port}`;
  }

  /** Gives the port on which datagrams for the server's `port` are taken. */
  async port(port) {
    if (!this.fronts.has(port)) this.fronts.set(port, this.#front(port));
    return (await this.fronts.get(port)).address().port;
  }

  /** Loses all that is under way from now on. Streams stall, or are reset when `reset` is set. */
  down({ reset = false } = {}) {
    this.up = false;
    for (const { near, far } of this.streams) {
      if (reset) [near, far].forEach((each) => each.resetAndDestroy());
      else [near, far].forEach((each) => each.pause());
    }
  }

  /**
   * From now on datagrams take so many milliseconds each way, and this share of them is lost: at random, and each time
   * alike. `rate` is how many bytes a second reach the client; what would wait for longer than 200 ms is lost.
   */
  impair({ delay = 0, loss = 0, rate = Infinity } = {}) {
    Object.assign(this, { delay, loss, rate, random: 1, free: 0 });
  }

  /** Carries again. */
  restore() {
    this.up = true;
    for (const { near, far } of this.streams) [near, far].forEach((each) => each.resume());
  }

  /** Gives the client another address towards the server, as a NAT does that has forgotten it. Tells how many paths changed. */
  async rebind() {
    for (const path of this.paths) {
      path.back.close();
      path.back = await this.#back(path);
    }
    return this.paths.size;
  }

  close() {
    this.listener.close();
    for (const { near, far } of this.streams) [near, far].forEach((each) => each.destroy());
    for (const { back } of this.paths) back.close();
    for (const front of this.fronts.values()) void front.then((socket) => socket.close());
  }

  #stream(near, port) {
    if (!this.up) return void near.resetAndDestroy();
    const far = connect(port, LOOPBACK);
    const stream = { near, far };
    this.streams.add(stream);
    for (const [from, to] of [[near, far], [far, near]]) {
      from.on('data', (bytes) => to.write(bytes));
      from.on('error', () => {});
      from.on('close', () => {
        this.streams.delete(stream);
        to.destroy();
      });
    }
  }

  #carry(send, bytes = 0) {
    this.random = (Math.imul(this.random, 1664525) + 1013904223) >>> 0;
    if (!this.up || this.random / 2 ** 32 < this.loss) return;
    const now = performance.now();
    const begins = Math.max(now, this.free);
    if (begins - now > 200) return;
    this.free = begins + (bytes / this.rate) * 1000;
    const wait = this.delay + this.free - now;
    if (wait < 1) send();
    // What is under way when a test ends has nowhere to go.
    else setTimeout(() => { try { send(); } catch {} }, wait);
  }

  async #front(port) {
    const front = await bound(createSocket('udp4'));
    const paths = new Map();
    front.on('message', async (bytes, from) => {
      if (!paths.has(from.port)) {
        const path = { front, client: from.port, server: port };
        paths.set(from.port, this.#back(path).then((back) => {
          path.back = back;
          this.paths.add(path);
          return path;
        }));
      }
      const { back } = await paths.get(from.port);
      this.#carry(() => back.send(bytes, port, LOOPBACK));
    });
    return front;
  }

  async #back({ front, client }) {
    const back = await bound(createSocket('udp4'));
    back.on('message', (bytes) => {
      this.#carry(() => front.send(bytes, client, LOOPBACK), bytes.length);
    });
    return back;
  }
}
