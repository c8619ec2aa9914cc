// SPDX-License-Identifier: EUPL-1.2
// SDKs that run in a process of their own: requests and answers are lines of JSON.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const here = (path) => new URL(`../${path}`, import.meta.url).pathname;
const PROGRAMS = {
  python: () => [process.env.PARVIS_PYTHON ?? 'python3', [here('clients/client.py')]],
  // Debian's own interpreter: GStreamer's bindings are for it.
  gstreamer: () => ['/usr/bin/python3', [here('clients/gstreamer.py')]],
  'rtc-node': () => [process.execPath, [here('clients/client.mjs')]],
  'api-python': () => [process.env.PARVIS_PYTHON ?? 'python3', [here('clients/api.py')]],
  'webhooks-python': () => [process.env.PARVIS_PYTHON ?? 'python3', [here('clients/webhooks.py')]],
};

/** Asks what is at the other end of two streams, one to write requests to, one that answers come from. */
export function asking(kind, requests, answers, ended, said = []) {
  const waiting = new Map();
  let last = 0;
  createInterface({ input: answers }).on('line', (line) => {
    if (!line.startsWith('{')) return void said.push(line);
    const { id, ok, error } = JSON.parse(line);
    const [done, failed] = waiting.get(id) ?? [];
    waiting.delete(id);
    if (error !== undefined) failed?.(new Error(`${kind}: ${error}\n${said.slice(-20).join('\n')}`));
    else done?.(ok);
  });
  ended.then((why) => {
    for (const [, failed] of waiting.values()) failed(new Error(`${kind} ended with ${why}\n${said.slice(-20).join('\n')}`));
  });
  return (name, parameters = {}) => new Promise((done, failed) => {
    waiting.set(++last, [done, failed]);
    requests.write(`${JSON.stringify({ id: last, name, parameters })}\n`);
  });
}

/** Starts the SDK `kind` and gives its caller. */
export function start(kind) {
  const [program, flags] = PROGRAMS[kind]();
  const child = spawn(program, flags, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, RUST_LOG: 'error' } });
  const said = [];
  createInterface({ input: child.stderr }).on('line', (line) => said.push(line));
  const exited = new Promise((done) => child.once('exit', done));
  return {
    kind,
    ask: asking(kind, child.stdin, child.stdout, exited, said),
    async close() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
