// SPDX-License-Identifier: EUPL-1.2
/** What is fetched once the call has settled, or when somebody asks for it. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { once, onceWithStyles } from '../src/once.ts';
import { type Asked, fetchAhead } from '../src/pages/later.ts';

const asked = {} as Asked;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('something is loaded once, and again after it failed', async () => {
  const load = vi.fn(async () => 'it').mockRejectedValueOnce(new Error('no network'));
  const get = once(load);
  await expect(get()).rejects.toThrow('no network');
  expect(await Promise.all([get(), get()])).toEqual(['it', 'it']);
  expect(await get()).toBe('it');
  expect(load).toHaveBeenCalledTimes(2);
});

/** As far as it is asked. */
class Link extends EventTarget {
  readonly href: string;
  readonly rel: string;
  next: Link | undefined;

  constructor(href: string, rel = 'stylesheet') {
    super();
    this.href = href;
    this.rel = rel;
  }

  cloneNode(): Link {
    return new Link(this.href, this.rel);
  }

  replaceWith(next: Link): void {
    this.next = next;
  }
}

test('a view that failed to come comes with its styles the next time, and not before they are there', async () => {
  const lost = new Link('/lost.css');
  const hint = new Link('/view.js', 'modulepreload');
  let fail: (event: { target: Link }) => void = () => {};
  const listen = vi.fn((_: string, listener: typeof fail) => void (fail = listener));
  const load = vi.fn(async () => 'view').mockRejectedValueOnce(new Error('no network'));
  const get = onceWithStyles(load, () => ({ addEventListener: listen }) as unknown as Document);
  const first = get();
  for (const target of [lost, hint]) fail({ target });
  await expect(first).rejects.toThrow('no network');
  expect(lost.next).toBeUndefined();

  const second = get();
  expect([lost.next?.href, hint.next]).toEqual(['/lost.css', undefined]);
  const next = lost.next ?? lost;
  fail({ target: next });
  next.dispatchEvent(new Event('error'));
  await expect(second).rejects.toThrow('/lost.css did not come');

  const third = get();
  expect(load).toHaveBeenCalledTimes(1);
  next.next?.dispatchEvent(new Event('load'));
  expect(await third).toBe('view');
  expect(listen).toHaveBeenCalledTimes(1);
  expect(listen.mock.calls[0]?.[0]).toBe('error');
});

test('the panels are not fetched while the first pictures come, and are there soon after', async () => {
  const load = vi.fn(async () => asked);
  const take = vi.fn();
  fetchAhead(take, load);
  await vi.advanceTimersByTimeAsync(4_900);
  expect(load).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(200);
  expect(load).toHaveBeenCalledOnce();
  expect(take).toHaveBeenCalledExactlyOnceWith(asked);
});

test('what can not be fetched ahead is no error: a press asks for it again', async () => {
  const take = vi.fn();
  fetchAhead(take, () => Promise.reject(new Error('no network')));
  await vi.advanceTimersByTimeAsync(10_000);
  expect(take).not.toHaveBeenCalled();
});

test('a call that has ended fetches nothing, and takes nothing that comes late', async () => {
  const load = vi.fn(async () => asked);
  fetchAhead(vi.fn(), load)();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(load).not.toHaveBeenCalled();
  let come: (asked: Asked) => void = () => {};
  const take = vi.fn();
  const leave = fetchAhead(take, () => new Promise((done) => (come = done)));
  await vi.advanceTimersByTimeAsync(10_000);
  leave();
  come(asked);
  await vi.advanceTimersByTimeAsync(0);
  expect(take).not.toHaveBeenCalled();
});
