// SPDX-License-Identifier: EUPL-1.2
// A receiver of webhooks that is made with the published SDKs.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { WebhookReceiver } from 'livekit-server-sdk';
import { eventually } from './check.mjs';
import { start } from './children.mjs';

/** The key that signs, as `Server.configured` has it. */
export const KEY = { key: 'main', secret: '0123456789abcdef0123456789abcdef' };

/** An HTTP server that keeps what comes, and checks it with both SDKs before it takes it. */
export class Receiver {
  /** `answer` gives the status for an event that was checked; by default each is taken. */
  constructor(answer = () => 200) {
    this.answer = answer;
    this.taken = [];
    this.turnedAway = [];
    this.tried = 0;
    this.down = false;
    this.python = start('webhooks-python');
    this.node = new WebhookReceiver(KEY.key, KEY.secret);
    this.http = createServer((request, response) => this.serve(request, response));
    this.listening = new Promise((done) => this.http.listen(0, '127.0.0.1', done));
  }

  static async open(answer) {
    const receiver = new Receiver(answer);
    await receiver.listening;
    return receiver;
  }

  /** The part of a configuration that has a server tell this receiver, soon again when it doesn't take an event. */
  configuration(rooms = 'departure_timeout = "1s"') {
    return `
[rooms]
${rooms}
[webhooks]
urls = ["http://${this.address}/hook"]
allow_internal = ["${this.address}"]
first_retry = "200ms"
`;
  }

  get address() {
    return `127.0.0.1:${this.http.address().port}`;
  }

  async serve(request, response) {
    let body = '';
    for await (const chunk of request) body += chunk;
    this.tried++;
    if (this.down) return void response.writeHead(503).end();
    try {
      const token = request.headers.authorization;
      const byNode = await this.node.receive(body, token);
      const byPython = await this.python.ask('receive', { ...KEY, body, token });
      assert.equal(byNode.event, byPython.event);
      const status = this.answer(byPython);
      const came = { event: byPython, node: byNode, body, token, headers: request.headers, status };
      (status === 200 ? this.taken : this.turnedAway).push(came);
      response.writeHead(status).end();
    } catch (error) {
      this.refused = error;
      response.writeHead(401).end();
    }
  }

  /** What was taken of a room, as `participant_joined ada`. */
  story(room) {
    const own = this.taken.filter(({ event }) => event.room?.name === room);
    return own.map(({ event }) => [event.event, event.participant?.identity, event.track?.source].filter(Boolean).join(' '));
  }

  async until(room, last) {
    await eventually(`${last} of ${room}`, async () => this.story(room).includes(last), 30_000);
    return this.story(room);
  }

  async close() {
    this.http.closeAllConnections();
    this.http.close();
    await this.python.close();
  }
}
