// SPDX-License-Identifier: EUPL-1.2
// Workers on the published agents SDK, and callers that are their agents.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { eventually } from './check.mjs';
import { asking } from './children.mjs';
import { token } from './server.mjs';

/** Starts a worker that connects to `url`, and waits until it is registered. */
export async function startWorker(program, url, key, settings = {}) {
  const child = spawn(process.env.PARVIS_AGENTS_PYTHON ?? 'python3', [new URL(`../clients/${program}`, import.meta.url).pathname], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LIVEKIT_URL: url, LIVEKIT_API_KEY: key.name, LIVEKIT_API_SECRET: key.secret, ...settings },
  });
  const said = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => said.push(String(text)));
  const exited = new Promise((done) => child.once('exit', done));
  await eventually('a registered worker', () => said.join('').includes('registered worker') || (child.exitCode !== null && assert.fail(said.join(''))), 60_000);
  return {
    said,
    async close() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** A worker whose agents are callers. */
export class Agents {
  static async open(server, url = server.ws) {
    const agents = new Agents();
    agents.server = server;
    agents.key = server.key ?? { name: 'devkey', secret: 'secret' };
    agents.arrived = new Map();
    agents.listener = createServer((socket) => agents.#arrive(socket));
    await new Promise((done) => agents.listener.listen(0, '127.0.0.1', done));
    agents.worker = await startWorker('agent.py', url, agents.key, { CALLER_PORT: String(agents.listener.address().port), RUST_LOG: 'error' });
    return agents;
  }

  /** Has an agent join. */
  async join(room, identity, { passphrase } = {}) {
    const caller = `${room} ${identity}`;
    await this.#call('RoomService', 'CreateRoom', { name: room });
    await this.#call('AgentDispatchService', 'CreateDispatch', { room, agentName: 'caller', metadata: JSON.stringify({ caller, identity, passphrase }) });
    await eventually(`${identity} as an agent in ${room}`, () => this.arrived.has(caller) || undefined, 40_000).catch((error) => {
      throw new Error(`${error.message}\n${this.worker.said.slice(-30).join('')}`);
    });
    return this.arrived.get(caller);
  }

  async close() {
    await this.worker.close();
    this.listener.close();
  }

  async #call(service, method, body) {
    const grants = { roomCreate: true, roomAdmin: true, roomList: true };
    const response = await fetch(`${this.server.url}/twirp/livekit.${service}/${method}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token(body.room ?? body.name, 'server', grants, 'server', this.key)}` },
      body: JSON.stringify(body),
    });
    assert.equal(response.status, 200, `${method}: ${await response.text()}`);
  }

  #arrive(socket) {
    const ended = new Promise((done) => socket.once('close', () => done('the end of its connection')));
    socket.on('error', () => {});
    const ask = asking('agents', socket, socket, ended, this.worker?.said);
    createInterface({ input: socket }).once('line', (line) => {
      const { caller, sid } = JSON.parse(line);
      this.arrived.set(caller, { kind: 'agents', joined: { sid }, ask, close: async () => socket.destroy() });
    });
  }
}
