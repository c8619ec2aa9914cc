// SPDX-License-Identifier: EUPL-1.2
import { describe, expect, it } from 'vitest';
import { safetyCode } from '../src/e2ee/derive.ts';
import { canEncrypt, gate } from '../src/e2ee/gate.ts';
import { guarded, Openings } from '../src/e2ee/guard.ts';
import { bytesOf, fragmentOf, keyOfFragment, type LinkKey, newKey } from '../src/e2ee/key.ts';
import { MAX_TEXT_BYTES, TextSealer } from '../src/e2ee/text.ts';
import { WORDS } from '../src/e2ee/words.ts';
import { checked } from '../src/trusted.ts';

const KEY = keyOfFragment(`#k=${'A'.repeat(42)}E`) as LinkKey;
const OTHER = keyOfFragment(`#k=${'B'.repeat(42)}E`) as LinkKey;

describe('the key in the link', () => {
  it('is 256 random bits that come back out of the fragment', () => {
    const key = newKey();
    expect(key).toMatch(/^[\w-]{43}$/);
    expect(bytesOf(key)).toHaveLength(32);
    expect(keyOfFragment(fragmentOf(key))).toBe(key);
    expect(newKey()).not.toBe(key);
    expect(newKey((bytes) => bytes.fill(255))).toBe(`${'_'.repeat(42)}8`);
  });

  it('is known to be damaged when it was cut or changed', () => {
    const key = newKey();
    for (const foul of [key.slice(1), `${key}x`, `${key.slice(0, 42)}%`, `${key.slice(0, 42)}B`, '']) {
      expect(keyOfFragment(`#k=${foul}`), foul).toBe('broken');
    }
    expect(keyOfFragment('')).toBeUndefined();
    expect(keyOfFragment('#main')).toBeUndefined();
  });
});

describe('who may come in', () => {
  it('row 58: the link decides, and no word of the server turns encryption off', () => {
    const fragment = fragmentOf(KEY);
    for (const said of [true, false, undefined]) expect(gate(fragment, said, true)).toEqual({ kind: 'encrypted', key: KEY });
    expect(gate('', false, true)).toEqual({ kind: 'clear' });
    expect(gate('', undefined, true)).toEqual({ kind: 'clear' });
  });

  it('row 58: whoever has no whole key, or can’t encrypt, is not let in', () => {
    expect(gate('', true, true)).toEqual({ kind: 'refused', reason: 'no_key' });
    expect(gate('#k=short', false, true)).toEqual({ kind: 'refused', reason: 'broken_key' });
    expect(gate(fragmentOf(KEY), true, false)).toEqual({ kind: 'refused', reason: 'unsupported' });
  });

  it('a browser must have all that it takes', () => {
    class Sender {}
    class Streaming {
      createEncodedStreams(): void {}
    }
    const browser = (parts: object) => parts as unknown as typeof globalThis;
    const crypto = { subtle: {} };
    expect(canEncrypt(browser({ RTCRtpScriptTransform: class {}, Worker: class {}, crypto }))).toBe(true);
    expect(canEncrypt(browser({ RTCRtpSender: Streaming, Worker: class {}, crypto }))).toBe(true);
    expect(canEncrypt(browser({ RTCRtpSender: Sender, Worker: class {}, crypto }))).toBe(false);
    expect(canEncrypt(browser({ RTCRtpScriptTransform: class {}, crypto }))).toBe(false);
    expect(canEncrypt(browser({ RTCRtpScriptTransform: class {}, Worker: class {}, crypto: {} }))).toBe(false);
  });
});

describe('the safety code', () => {
  it('is eight words, the same for the same key and room, and another for another', async () => {
    const code = await safetyCode(KEY, 'room');
    expect(code).toHaveLength(8);
    for (const word of code) expect(WORDS).toContain(word);
    expect(await safetyCode(KEY, 'room')).toEqual(code);
    expect(await safetyCode(OTHER, 'room')).not.toEqual(code);
    expect(await safetyCode(KEY, 'elsewhere')).not.toEqual(code);
  });

  it('stays what it was: clients of different ages must show the same', async () => {
    expect((await safetyCode(KEY, 'room')).join(' ')).toMatchInlineSnapshot(`"tornado koala reggae pizza cobra symbol solo pinguin"`);
  });

  it('is of 256 words that can’t be taken for each other', () => {
    expect(WORDS).toHaveLength(256);
    for (const [i, word] of WORDS.entries()) {
      expect(word).toMatch(/^[a-z]{3,8}$/);
      for (const other of WORDS.slice(0, i)) expect(apart(word, other), `${word}, ${other}`).toBeGreaterThan(1);
    }
  });
});

describe('sealed text', () => {
  const sealer = new TextSealer(KEY, 'room');

  it('comes back for those with the key, from whom it was', async () => {
    for (const text of ['', 'Good morning', 'žluťoučký 🎉', '\x01\x01', 'x'.repeat(MAX_TEXT_BYTES)]) {
      const sealed = (await sealer.seal(text, 'ada')) ?? '';
      expect(sealed.length).toBeLessThanOrEqual(4000);
      expect(sealed).toMatch(/^e1\.[\w-]+$/);
      expect(await new TextSealer(KEY, 'room').open(sealed, 'ada')).toBe(text);
    }
    expect(await sealer.seal('x'.repeat(MAX_TEXT_BYTES + 1), 'ada')).toBeUndefined();
  });

  it('opens for nobody else, as nobody else’s, and not when it was changed', async () => {
    const sealed = (await sealer.seal('the budget', 'ada')) ?? '';
    expect(await new TextSealer(OTHER, 'room').open(sealed, 'ada')).toBeUndefined();
    expect(await new TextSealer(KEY, 'elsewhere').open(sealed, 'ada')).toBeUndefined();
    expect(await sealer.open(sealed, 'bo')).toBeUndefined();
    const at = sealed.length - 5;
    const changed = sealed.slice(0, at) + (sealed[at] === 'A' ? 'B' : 'A') + sealed.slice(at + 1);
    expect(await sealer.open(changed, 'ada')).toBeUndefined();
    for (const foul of ['the budget', '', 'e1.', 'e1.%%%', 'e1.AAAA', `e1.${'A'.repeat(5000)}`]) {
      expect(await sealer.open(foul, 'ada'), foul).toBeUndefined();
    }
  });

  it('tells neither what was said twice nor how long a short word was', async () => {
    const [one, two] = [await sealer.seal('yes', 'ada'), await sealer.seal('yes', 'ada')];
    expect(one).not.toBe(two);
    expect((await sealer.seal('not at all', 'ada'))?.length).toBe(one?.length);
  });
});

describe('the guard before the cryptor', () => {
  it('row 57: nobody is let through in clear, whatever the server says of their tracks', () => {
    const off = { kind: 'enable', data: { enabled: false, participantIdentity: 'eve' } };
    expect(guarded(off)).toEqual({ kind: 'enable', data: { enabled: true, participantIdentity: 'eve' } });
    expect(guarded({ kind: 'setSifTrailer', data: { trailer: new Uint8Array([1]) } })).toBeUndefined();
    const other = { kind: 'setKey', data: { keyIndex: 0 } };
    expect(guarded(other)).toBe(other);
  });

  it('row 57: a track is open once something of it was decrypted, and closed when nothing is', () => {
    const told: string[] = [];
    const openings = new Openings(({ track, opening }) => told.push(`${track} ${opening}`));
    const arrive = (track: string, frames: number, opens: boolean) => {
      for (let i = 0; i < frames; i++) {
        openings.arrived(track);
        if (opens) openings.opened(track);
      }
      openings.look();
    };
    arrive('a', 1, true);
    arrive('a', 30, true);
    arrive('b', 9, false);
    expect(told).toEqual(['a open']);
    arrive('b', 1, false);
    arrive('b', 50, false);
    expect(told).toEqual(['a open', 'b closed']);
    arrive('b', 1, true);
    arrive('a', 10, false);
    expect(told).toEqual(['a open', 'b closed', 'b open', 'a closed']);
    // A stream that goes on as another track says nothing of it yet.
    openings.renamed('a', 'c');
    arrive('c', 3, false);
    expect(told).toHaveLength(4);
  });
});

describe('addresses of scripts', () => {
  it('are our own files and nothing else', () => {
    const origin = 'https://meet.example.org';
    expect(checked('/assets/worker-Ab_1.js', origin)).toBe(`${origin}/assets/worker-Ab_1.js`);
    expect(checked('/sw.js', origin)).toBe(`${origin}/sw.js`);
    for (const foul of [
      'https://elsewhere.example/assets/a.js',
      '//elsewhere.example/assets/a.js',
      'data:text/javascript,1',
      'blob:https://meet.example.org/1',
      'javascript:1',
      '/api/rooms/a.js',
      '/assets/../r/a.js',
      '/assets/a.js?x',
      '/assets/a.js#x',
    ]) {
      expect(() => checked(foul, origin), foul).toThrow(TypeError);
    }
  });
});

/** How many letters have to change. */
function apart(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
