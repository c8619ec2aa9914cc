// SPDX-License-Identifier: EUPL-1.2
// Signalling sockets without an SDK: one that says nothing, and what an application puts in front of all of them.
import { randomBytes } from 'node:crypto';
import { createServer, get, request } from 'node:http';

/** Pages of other origins may read what it says, and why it refuses. */
const CORS = { 'access-control-allow-origin': '*' };

/** A signalling socket that is opened and says nothing. */
export const silentSocket = (url) => new Promise((done, failed) => {
  const headers = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': 13, 'Sec-WebSocket-Key': randomBytes(16).toString('base64') };
  get(url, { headers })
    .on('upgrade', (_, socket) => done(socket.on('error', () => {})))
    .on('response', ({ statusCode }) => failed(new Error(`${statusCode} in place of a WebSocket`)))
    .on('error', failed);
});

/** An application's own path before `/rtc` and `/rtc/validate`: query and `Authorization` go on untouched, nothing else does. */
export async function proxyAs(prefix, target) {
  const proxy = { sockets: 0 };
  const ahead = ({ url, headers }, further = {}) => {
    const path = url.startsWith(prefix) && /^\/rtc(?:\/validate)?(?:\?.*)?$/.exec(url.slice(prefix.length))?.[0];
    const own = headers.authorization && { authorization: headers.authorization };
    return path && request(target + path, { headers: { ...own, ...further } });
  };
  const http = createServer((asked, answer) => {
    const on = ahead(asked);
    if (!on) return void answer.writeHead(404, CORS).end();
    on.on('response', (given) => given.pipe(answer.writeHead(given.statusCode, CORS))).end();
  });
  http.on('upgrade', (asked, socket) => {
    const { 'sec-websocket-key': key, 'sec-websocket-version': version } = asked.headers;
    const on = ahead(asked, { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-key': key, 'sec-websocket-version': version });
    if (!on) return void socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
    on.on('upgrade', ({ headers }, further, head) => {
      proxy.sockets++;
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${headers['sec-websocket-accept']}\r\n\r\n`);
      socket.write(head);
      further.pipe(socket).pipe(further);
      for (const [one, two] of [[socket, further], [further, socket]]) one.on('error', () => two.destroy()).on('close', () => two.destroy());
    });
    on.on('response', ({ statusCode }) => socket.end(`HTTP/1.1 ${statusCode} Refused\r\nContent-Length: 0\r\n\r\n`));
    on.on('error', () => socket.destroy());
    on.end();
  });
  await new Promise((done) => http.listen(0, '127.0.0.1', done));
  proxy.url = `ws://127.0.0.1:${http.address().port}`;
  proxy.close = async () => {
    http.closeAllConnections();
    http.close();
  };
  return proxy;
}
