// SPDX-License-Identifier: EUPL-1.2
// A stage for one suite: a server, the test page, and callers that are closed at the end.
import { randomBytes } from 'node:crypto';
import { closeBrowsers, open, openFlagged, servePage } from './browsers.mjs';
import { start } from './children.mjs';
import { Network } from './network.mjs';
import { Server, token } from './server.mjs';

/** Small pictures, few of them: two cores carry encoders and decoders of four clients and a development build. */
export const SMALL = { width: 320, height: 180, fps: 10 };
export const HERTZ = 440;

export class Stage {
  static async open(...flags) {
    return Stage.over(await Server.start(...flags));
  }

  /** A stage for a server that runs already. */
  static async over(server) {
    const stage = new Stage();
    stage.callers = [];
    // Set by suites that call by agents.
    stage.agents = undefined;
    stage.server = server;
    stage.page = await servePage();
    return stage;
  }

  /** A room name that no other test uses. */
  room() {
    return `room-${randomBytes(6).toString('hex')}`;
  }

  /** Starts a client of `kind` and lets it join. */
  async join(kind, room, identity, options = {}, grants = {}) {
    if (kind === 'agents') return this.#joinAsAgent(room, identity, options);
    const caller = ['chromium', 'firefox'].includes(kind) ? await open(kind, this.page.url) : start(kind);
    this.callers.push(caller);
    await this.connect(caller, room, identity, options, grants);
    return caller;
  }

  async #joinAsAgent(room, identity, options) {
    const caller = await this.agents.join(room, identity, options);
    caller.identity = identity;
    this.callers.push(caller);
    return caller;
  }

  /** Joins by Chromium, with flags if there are some, through a network of its own, which the test may break: gives both. */
  async joinThroughNetwork(room, identity, options = {}, flags = []) {
    const network = await Network.to(this.server.url);
    const caller = await (flags.length > 0 ? openFlagged(this.page.url, flags, network) : open('chromium', this.page.url, network));
    const { close } = caller;
    caller.close = async () => {
      await close();
      network.close();
    };
    this.callers.push(caller);
    await this.connect(caller, room, identity, { ...options, url: network.ws });
    return { caller, network };
  }

  async connect(caller, room, identity, options = {}, grants = {}) {
    caller.identity = identity;
    caller.joined = await caller.ask('connect', { url: this.server.ws, token: token(room, identity, grants, identity, this.server.key), ...options });
  }

  /** Ends the callers of one test. */
  async clear() {
    for (const caller of this.callers.splice(0)) {
      await Promise.race([caller.ask('leave').catch(() => {}), new Promise((done) => setTimeout(done, 3000))]);
      await caller.close();
    }
  }

  async close() {
    await this.clear();
    await this.agents?.close();
    await closeBrowsers();
    this.page.close();
    await this.server.stop();
  }
}

/** Ada is seen, in Chromium, and Bob is heard. */
export async function seenAndHeard(stage, room) {
  const ada = await stage.join('chromium', room, 'ada');
  const bob = await stage.join('python', room, 'bob');
  await ada.ask('publishBars', SMALL);
  await bob.ask('publishTone', { hertz: HERTZ });
}
