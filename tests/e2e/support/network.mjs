// SPDX-License-Identifier: EUPL-1.2
// A network of our own between one client and the server: it passes everything on, until it is told to lose it.
import { createSocket } from 'node:dgram';
import { createServer, connect } from 'node:net';

const LOOPBACK = '127.0.0.1';
const bound = (socket, port = 0, host = LOOPBACK) => new Promise((done, failed) => {
  socket.once('error', failed);
  socket.bind(port, host, () => done(socket));
});

export class Network {
  /**
   * A network whose far end is the server at `url`. Where the server offers another address than it listens on, the network
   * has that address (`host`) and the ports that are offered; otherwise clients learn of its ports by `port`.
   */
  static async to(url, { host = LOOPBACK, ports = [] } = {}) {
    const network = new Network();
    network.up = true;
    network.queue = [];
    network.host = host;
    network.impair();
    network.streams = new Set();
    network.fronts = new Map();
    network.paths = new Set();
    network.usernames = new Set();
    const { port } = new URL(url);
    network.listener = createServer((near) => network.#stream(near, Number(port)));
    await new Promise((done) => network.listener.listen(0, LOOPBACK, done));
    for (const offered of ports) network.fronts.set(offered, network.#front(offered, offered));
    await Promise.all(network.fronts.values());
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
    const changed = [...this.paths].filter((path) => !this.#spares(path));
    for (const path of changed) {
      path.back.close();
      path.back = await this.#back(path);
    }
    return changed.length;
  }

  /** Whoever has come since the last call, by name. */
  claim(name) {
    for (const path of this.paths) path.owner ??= name;
  }

  /** From now on whatever happens to this network happens to one of its clients only. */
  only(name) {
    this.whom = name;
  }

  /** Cuts every stream, and takes new ones. */
  cut() {
    for (const { near, far } of this.streams) [near, far].forEach((each) => each.resetAndDestroy());
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

  /** Takes down the name in a STUN binding request (RFC 8489, section 14.3): another one after an ICE restart. */
  #takeName(bytes) {
    if (bytes.length < 24 || bytes.readUInt16BE(0) !== 0x0001 || bytes.readUInt32BE(4) !== 0x2112a442) return;
    for (let at = 20; at + 4 <= bytes.length; at += 4 + ((bytes.readUInt16BE(at + 2) + 3) & ~3)) {
      if (bytes.readUInt16BE(at) === 0x0006) this.usernames.add(bytes.toString('utf8', at + 4, at + 4 + bytes.readUInt16BE(at + 2)));
    }
  }

  /** One that nobody has claimed belongs to whom the test is about. */
  #spares(path) {
    return this.whom !== undefined && path.owner !== undefined && path.owner !== this.whom;
  }

  #carry(path, send, bytes = 0) {
    if (this.#spares(path)) return void send();
    this.random = (Math.imul(this.random, 1664525) + 1013904223) >>> 0;
    if (!this.up || this.random / 2 ** 32 < this.loss) return;
    const now = performance.now();
    const begins = Math.max(now, this.free);
    if (begins - now > 200) return;
    this.free = begins + (bytes / this.rate) * 1000;
    const due = begins + (bytes / this.rate) * 1000 + this.delay;
    if (this.queue.length === 0 && due - now < 1) return void send();
    this.queue.push({ due, send });
    if (this.queue.length === 1) setTimeout(() => this.#release(), due - now);
  }

  /** In the order in which they came: timers of their own would let datagrams overtake others within a millisecond. */
  #release() {
    const now = performance.now();
    const waiting = this.queue.findIndex(({ due }) => due - now >= 1);
    for (const { send } of this.queue.splice(0, waiting < 0 ? this.queue.length : waiting)) {
      // What is under way when a test ends has nowhere to go.
      try { send(); } catch {}
    }
    if (this.queue.length > 0) setTimeout(() => this.#release(), this.queue[0].due - performance.now());
  }

  async #front(port, own = 0) {
    const front = await bound(createSocket('udp4'), own, this.host);
    const paths = new Map();
    front.on('message', async (bytes, from) => {
      const key = `${from.address} ${from.port}`;
      if (!paths.has(key)) {
        const path = { front, client: from };
        paths.set(key, this.#back(path).then((back) => {
          path.back = back;
          this.paths.add(path);
          return path;
        }));
      }
      const path = await paths.get(key);
      if (!this.#spares(path)) this.#takeName(bytes);
      this.#carry(path, () => path.back.send(bytes, port, LOOPBACK));
    });
    return front;
  }

  async #back(path) {
    const { front, client } = path;
    // The server tells the client this address, and Firefox takes no answer with one of loopback.
    const back = await bound(createSocket('udp4'), 0, this.host);
    back.on('message', (bytes) => {
      this.#carry(path, () => front.send(bytes, client.port, client.address), bytes.length);
    });
    return back;
  }
}
