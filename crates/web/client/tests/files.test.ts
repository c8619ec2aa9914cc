// SPDX-License-Identifier: EUPL-1.2
import { expect, test } from 'vitest';
import { FILE_BYTES_AT_MOST, FileDesk, type FileRoom, HELD_BYTES_AT_MOST, TOPIC } from '../src/meeting/files.ts';
import { settled } from './fake-meeting.ts';

function setUp({ open = true, sealed = false } = {}) {
  type Handler = Parameters<FileRoom['registerByteStreamHandler']>[1];
  let handler: Handler | undefined;
  const sent: { name: string; type: string | undefined; topic: string | undefined }[] = [];
  const room = {
    registerByteStreamHandler: (topic: string, found: Handler) => {
      expect(topic).toBe(TOPIC);
      handler = found;
    },
    localParticipant: {
      identity: 'me',
      sendFile: async (file: File, options: { topic?: string; mimeType?: string }) => {
        if (file.name === 'bad.txt') throw new Error('no');
        sent.push({ name: file.name, type: options.mimeType, topic: options.topic });
        return { id: '1' };
      },
    },
  } as unknown as FileRoom;
  const desk = new FileDesk(() => open, sealed);
  desk.use(room);
  const drained: number[] = [];
  const receive = async (name: string, size: number | undefined, parts: Uint8Array[], mimeType = 'text/plain', encryptionType = 0) => {
    const reader = {
      info: { name, size, mimeType, encryptionType },
      async *[Symbol.asyncIterator]() {
        for (const part of parts) yield await part;
        drained.push(parts.length);
      },
    };
    handler?.(reader as unknown as Parameters<Handler>[0], { identity: 'ada' });
    await settled();
  };
  return { desk, sent, receive, drained };
}

const bytes = (n: number, value = 7) => new Uint8Array(n).fill(value);

test('a file arrives whole, with a clean name, and is saved as nothing that a browser would open', async () => {
  const { desk, receive } = setUp();
  await receive('../page.html', 5, [bytes(2, 1), bytes(3, 2)], 'text/html');
  expect(desk.value).toMatchObject([{ from: 'ada', own: false, name: 'page.html', type: 'text/html', size: 5, state: 'there' }]);
  const blob = desk.blob(desk.value[0]?.id ?? '');
  expect(blob?.type).toBe('application/octet-stream');
  expect([...new Uint8Array((await blob?.arrayBuffer()) ?? new ArrayBuffer(0))]).toEqual([1, 1, 2, 2, 2]);
});

test('what is larger than allowed, or than it said, is not kept', async () => {
  const { desk, receive, drained } = setUp();
  await receive('big', FILE_BYTES_AT_MOST + 1, [bytes(1)]);
  await receive('endless', undefined, [bytes(1)]);
  await receive('liar', 2, [bytes(3), bytes(3), bytes(3)]);
  await receive('short', 4, [bytes(3)]);
  expect(desk.value.map((f) => f.state)).toEqual(['too_big', 'too_big', 'failed', 'failed']);
  for (const { id } of desk.value) expect(desk.blob(id)).toBeUndefined();
  // What is not kept is read all the same, or it would pile up.
  expect(drained).toContain(1);
  // Nothing more is taken from the one who said less than came.
  expect(drained).not.toContain(3);
});

test('what comes at once is bounded as well, however many send', async () => {
  const { desk, receive } = setUp();
  const never = { byteLength: 0 } as Uint8Array;
  const stuck = [new Promise<never>(() => undefined) as unknown as Uint8Array, never];
  for (let i = 0; i < HELD_BYTES_AT_MOST / FILE_BYTES_AT_MOST; i++) await receive(`f${i}`, FILE_BYTES_AT_MOST, stuck);
  await receive('one more', 1, [bytes(1)]);
  expect(desk.value.map((f) => f.state)).toEqual(['moving', 'moving', 'moving', 'moving', 'dropped']);
});

test('the oldest give way when too much is held', async () => {
  const { desk, receive } = setUp();
  const whole = bytes(FILE_BYTES_AT_MOST);
  for (let i = 0; i <= HELD_BYTES_AT_MOST / FILE_BYTES_AT_MOST; i++) await receive(`f${i}`, FILE_BYTES_AT_MOST, [whole]);
  expect(desk.value.map((f) => f.state)).toEqual(['dropped', 'there', 'there', 'there', 'there']);
});

test('where files are not allowed, nothing is shown or kept', async () => {
  const { desk, receive, drained } = setUp({ open: false });
  await receive('a', 1, [bytes(1)]);
  expect(desk.value).toEqual([]);
  expect(drained).toEqual([1]);
});

test('sending says how it went', async () => {
  const { desk, sent } = setUp();
  await desk.send(new File(['hello'], 'a.txt', { type: 'text/plain' }));
  await desk.send(new File(['x'], 'bad.txt'));
  await desk.send({ name: 'huge.bin', type: '', size: FILE_BYTES_AT_MOST + 1 } as File);
  expect(sent).toEqual([{ name: 'a.txt', type: 'text/plain', topic: TOPIC }]);
  expect(desk.value.map((f) => f.state)).toEqual(['there', 'failed', 'too_big']);
});

test('in an encrypted meeting a file that came in clear is none', async () => {
  const { desk, receive } = setUp({ sealed: true });
  await receive('clear', 1, [bytes(1)]);
  await receive('sealed', 1, [bytes(1)], 'text/plain', 1);
  expect(desk.value.map((f) => f.name)).toEqual(['sealed']);
});
