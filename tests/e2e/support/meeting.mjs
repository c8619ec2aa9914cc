// SPDX-License-Identifier: EUPL-1.2
// The meeting's own protocol (docs/meeting-protocol.md), as a test speaks it.
import assert from 'node:assert/strict';
import WebSocket from 'ws';

/** Asks the server with JSON; gives the status among what it answers. */
export async function ask(server, path, body) {
  const response = await fetch(server.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, ...(await response.json()) };
}

/** Makes a room for a meeting. */
export async function make(server, wish) {
  const made = await ask(server, '/api/rooms', wish);
  assert.equal(made.status, 200, JSON.stringify(made));
  return made;
}

/** The meeting's socket of somebody who is in the room. */
export class Meeting {
  static async enter(server, room, token) {
    const meeting = new Meeting();
    meeting.state = {};
    meeting.asked = 0;
    meeting.waiting = new Map();
    meeting.socket = new WebSocket(`${server.ws}/api/rooms/${room}/meeting`);
    meeting.socket.on('error', () => {});
    meeting.socket.on('open', () => meeting.socket.send(JSON.stringify({ hello: { token } })));
    await new Promise((done, failed) => {
      meeting.socket.on('close', (code, reason) => failed(new Error(`closed with ${code}: ${reason}`)));
      meeting.socket.on('message', (text) => {
        const { snapshot, patch, answer } = JSON.parse(text);
        Object.assign(meeting.state, snapshot?.state, patch?.state);
        if (snapshot) done();
        if (answer) meeting.waiting.get(answer.id)?.(answer);
      });
    });
    return meeting;
  }

  /** Asks for something and gives what came of it, which is no error. */
  async done(command) {
    const id = ++this.asked;
    const answer = await new Promise((done, late) => {
      this.waiting.set(id, done);
      setTimeout(() => late(new Error(`${command.do} was not answered`)), 10_000).unref();
      this.socket.send(JSON.stringify({ id, ...command }));
    });
    this.waiting.delete(id);
    assert.equal(answer.error, undefined, `${command.do}: ${JSON.stringify(answer)}`);
    return answer.ok;
  }

  close() {
    this.socket.close();
  }
}
