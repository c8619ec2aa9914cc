// SPDX-License-Identifier: EUPL-1.2
/**
 * The service worker: keeps the client's own files, so that the page opens at once and says something in words without a network.
 *
 * It keeps nothing of anyone: of all that is asked for, only files on the list that the build put in are stored, by their bare path.
 * No page of a room, no answer of the server and no token is on it. Whatever else passes is left to the browser.
 *
 * It imports nothing: browsers load it as a single plain script.
 */
export {};

interface Shell {
  /** Of the sources that this build was made of: each build has a store of its own. */
  stamp: string;
  /** What is fetched at once. */
  first: string[];
  /** What is kept once it has been fetched. */
  files: string[];
}
interface Waiting extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface Fetching extends Event {
  request: Request;
  respondWith(answer: Promise<Response>): void;
}
interface Scope {
  addEventListener(name: 'install' | 'activate', listener: (event: Waiting) => void): void;
  addEventListener(name: 'fetch', listener: (event: Fetching) => void): void;
  addEventListener(name: 'message', listener: (event: MessageEvent) => void): void;
  skipWaiting(): Promise<void>;
}

// Put in by build/service-worker.ts.
const SHELL = JSON.parse('__PARVIS_SHELL__') as Shell;
const PREFIX = 'parvis-shell-';
const STORE = PREFIX + SHELL.stamp;
const PAGE = '/';

const scope = self as unknown as Scope;

scope.addEventListener('install', (event) => {
  event.waitUntil(caches.open(STORE).then((store) => store.addAll([PAGE, ...SHELL.first])));
});

scope.addEventListener('activate', (event) => {
  const stale = caches.keys().then((names) => names.filter((name) => name.startsWith(PREFIX) && name !== STORE));
  event.waitUntil(stale.then((names) => Promise.all(names.map((name) => caches.delete(name)))));
});

scope.addEventListener('message', ({ data }) => {
  // The page asks for it once the user wants the new build.
  if (data === 'take-over') void scope.skipWaiting();
  // What the first page of all had fetched before there was anyone to keep it, the texts of its language among it.
  if (Array.isArray(data)) for (const path of SHELL.files.filter((file) => data.includes(file))) void kept(path).catch(() => undefined);
});

scope.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== location.origin) return;
  if (request.mode === 'navigate') event.respondWith(fetch(request).catch(() => offline()));
  else if (url.search === '' && SHELL.files.includes(url.pathname)) event.respondWith(kept(url.pathname));
});

/** A file of this build: its name holds a hash of its content, so what is kept is what the server has. */
async function kept(path: string): Promise<Response> {
  const store = await caches.open(STORE);
  const found = await store.match(path);
  if (found !== undefined) return found;
  const answer = await fetch(path);
  if (answer.ok && answer.type === 'basic') await store.put(path, answer.clone());
  return answer;
}

/** The client's page, told that it is shown because there is no network. Its headers, and so its policy, are as they were. */
async function offline(): Promise<Response> {
  const page = await (await caches.open(STORE)).match(PAGE);
  if (page === undefined) return Response.error();
  const text = (await page.text()).replace('<html', '<html data-offline');
  return new Response(text, { headers: page.headers });
}
