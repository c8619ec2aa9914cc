// SPDX-License-Identifier: EUPL-1.2
import { describe, expect, test } from 'vitest';
import type { Person, Screen } from '../src/room/state.ts';
import { arrange, mirrored, type Scene } from '../src/stage/arrange.ts';
import { compose, MAIN_AT_MOST, personTile, type Wishes } from '../src/stage/compose.ts';
import { Flip, inverse } from '../src/stage/flip.ts';
import { cornerAt, cornerByKey, shareByKey, StageModel } from '../src/stage/model.ts';
import { HINT_AFTER_MS, markOf, NetworkHint } from '../src/stage/quality.ts';
import { EMPTY_SEATING, pageOf, type Seating, seat } from '../src/stage/seating.ts';
import { BREATH_MS, HOLD_MS, NO_FLOOR, nextFloor, TALK_MS } from '../src/stage/speaker.ts';
import { MAX_SCALE, panBy, STEP, WHOLE, zoomAt, zoomByKey } from '../src/stage/zoom.ts';
import { Pinch } from '../src/stage/pinch.ts';
import { watermarkText } from '../src/stage/watermark.ts';

const NOBODY = new Set<string>();
const sitters = (text: string) =>
  text.split(' ').map((word) => ({ identity: word.replace('!', ''), speaking: word.endsWith('!') }));
const view = (capacity: number, page = 0, held = NOBODY, away = NOBODY) => ({ capacity, page, held, away });

describe('seats', () => {
  const after = (before: Seating, people: string, at: number, how = view(3)) => seat(before, sitters(people), how, at);

  test('are by arrival, and nobody moves when someone comes or when someone in sight speaks', () => {
    let seating = after(EMPTY_SEATING, 'me ada bo cem dora', 0);
    expect(seating.order).toEqual(['me', 'ada', 'bo', 'cem', 'dora']);
    seating = after(seating, 'eve dora cem bo! ada me', 1);
    expect(seating.order).toEqual(['me', 'ada', 'bo', 'cem', 'dora', 'eve']);
  });

  test('whoever speaks out of sight takes the seat of the one who was silent longest; two change places and nobody else', () => {
    let seating = after(EMPTY_SEATING, 'me! ada bo! cem dora', 0);
    seating = after(seating, 'me ada bo cem dora!', 5);
    expect(seating.order).toEqual(['me', 'dora', 'bo', 'cem', 'ada']);
    // Bo was heard at 0, Dora at 5, and I keep mine.
    seating = after(seating, 'me ada! bo cem dora', 9, view(3, 0, new Set(['me'])));
    expect(seating.order).toEqual(['me', 'dora', 'ada', 'cem', 'bo']);
  });

  test('nobody is moved while another page is looked at, nor when all in sight speak', () => {
    const first = after(EMPTY_SEATING, 'me ada bo cem dora', 0);
    expect(after(first, 'me ada bo cem dora!', 1, view(3, 1)).order).toEqual(first.order);
    expect(after(first, 'me! ada! bo! cem dora!', 1).order).toEqual(first.order);
  });

  test('whoever stands large needs no seat meanwhile, and has the old one afterwards', () => {
    const first = after(EMPTY_SEATING, 'me ada bo cem dora', 0);
    const large = after(first, 'me ada bo cem dora!', 1, view(3, 0, NOBODY, new Set(['ada'])));
    // With Ada away, the first three are me, Bo, Cem.
    expect(large.order).toEqual(['me', 'ada', 'bo', 'dora', 'cem']);
    expect(after(large, 'me ada bo cem dora', 2).order).toEqual(['me', 'ada', 'bo', 'dora', 'cem']);
  });

  test('the same people are the same seating', () => {
    const first = after(EMPTY_SEATING, 'me ada', 0);
    expect(after(first, 'me ada', 7)).toBe(first);
  });

  test('a page that is gone is the last one', () => {
    expect(pageOf(3, 30, 25)).toEqual({ page: 1, pages: 2 });
    expect(pageOf(1, 25, 25)).toEqual({ page: 0, pages: 1 });
    expect(pageOf(-1, 0, 25)).toEqual({ page: 0, pages: 1 });
  });
});

describe('the floor', () => {
  const here = new Set(['ada', 'bo', 'cem']);

  test('is the first speaker’s at once, and stays through a breath and a cough', () => {
    let floor = nextFloor(NO_FLOOR, ['ada'], here, 0);
    expect(floor.identity).toBe('ada');
    floor = nextFloor(floor, [], here, 1_000);
    // A cough, long after the last change.
    floor = nextFloor(floor, ['bo'], here, 10_000);
    expect(floor.identity).toBe('ada');
    expect(floor.again).toBe(10_000 + TALK_MS);
    floor = nextFloor(floor, [], here, 10_200);
    floor = nextFloor(floor, [], here, 10_000 + TALK_MS);
    expect(floor.identity).toBe('ada');
  });

  test('goes to someone who talks on, and then not back within the hold', () => {
    let floor = nextFloor(NO_FLOOR, ['ada'], here, 0);
    floor = nextFloor(floor, ['bo'], here, BREATH_MS + 100);
    expect(floor.identity).toBe('ada');
    floor = nextFloor(floor, ['bo'], here, HOLD_MS - 1);
    expect(floor.identity).toBe('ada');
    floor = nextFloor(floor, ['bo'], here, HOLD_MS);
    expect(floor.identity).toBe('bo');
    floor = nextFloor(floor, ['ada'], here, HOLD_MS + BREATH_MS + 50);
    floor = nextFloor(floor, ['ada'], here, HOLD_MS + BREATH_MS + 50 + TALK_MS);
    expect(floor.identity).toBe('bo');
    floor = nextFloor(floor, ['ada'], here, 2 * HOLD_MS);
    expect(floor.identity).toBe('ada');
  });

  test('is not taken from someone who goes on speaking, however loud the other is', () => {
    let floor = nextFloor(NO_FLOOR, ['ada'], here, 0);
    for (let now = 500; now < 20_000; now += 500) floor = nextFloor(floor, ['bo', 'ada'], here, now);
    expect(floor.identity).toBe('ada');
  });

  test('of someone who leaves is free', () => {
    let floor = nextFloor(NO_FLOOR, ['ada'], here, 0);
    floor = nextFloor(floor, ['bo'], new Set(['bo', 'cem']), 100);
    expect(floor.identity).toBe('bo');
    expect(nextFloor(floor, [], new Set(['cem']), 200).identity).toBeUndefined();
  });
});

describe('what is large', () => {
  const order = ['me', 'ada', 'bo', 'cem'];
  const wish = (wishes: Partial<Wishes>): Wishes => ({ view: 'grid', pins: [], signers: [], spotlight: [], floor: undefined, ...wishes });
  const large = (screens: string[], wishes: Partial<Wishes>) => compose(order, screens, wish(wishes)).main;

  test('nothing in the grid; the floor in the speaker’s view, else the first who is there', () => {
    expect(compose(order, [], wish({}))).toEqual({ main: [], side: order });
    expect(compose(order, [], wish({ view: 'speaker', floor: 'bo' }))).toEqual({ main: ['person:bo'], side: ['me', 'ada', 'cem'] });
    expect(large([], { view: 'speaker' })).toEqual(['person:ada']);
    expect(compose(['me'], [], wish({ view: 'speaker' })).main).toEqual(['person:me']);
  });

  test('screens win over the floor, own pins over the spotlight, and no pin hides a screen', () => {
    expect(large(['screen:ada'], { view: 'speaker', floor: 'bo' })).toEqual(['screen:ada']);
    expect(large([], { spotlight: ['bo', 'gone'] })).toEqual(['person:bo']);
    expect(large(['screen:ada'], { spotlight: ['bo'] })).toEqual(['screen:ada', 'person:bo']);
    expect(large([], { spotlight: ['bo'], pins: ['person:cem', 'person:ada'] })).toEqual(['person:cem', 'person:ada']);
    expect(large(['screen:ada'], { pins: ['person:cem'] })).toEqual(['screen:ada', 'person:cem']);
    expect(large(['screen:ada', 'screen:bo'], { pins: ['screen:bo'] })).toEqual(['screen:bo']);
  });

  test('who signs has the first place in every view, beside whoever speaks, and is never replaced by them', () => {
    for (const view of ['grid', 'speaker'] as const) {
      expect(large([], { view, signers: ['cem'], floor: 'bo' })).toEqual(['person:cem', 'person:bo']);
      // The signer is heard as well: the place beside is another’s.
      expect(large([], { view, signers: ['cem'], floor: 'cem' })).toEqual(['person:cem', 'person:ada']);
    }
    expect(large(['screen:ada'], { signers: ['cem'], floor: 'bo' })).toEqual(['person:cem', 'screen:ada']);
    expect(large([], { signers: ['gone'] })).toEqual([]);
  });

  test('is bounded', () => {
    const many = Array.from({ length: 20 }, (_, i) => `p${i}`);
    expect(compose(many, [], wish({ spotlight: many })).main).toHaveLength(MAIN_AT_MOST);
    const model = new StageModel();
    for (const each of many) model.togglePin(personTile(each));
    expect(model.value.pins).toEqual(many.slice(-MAIN_AT_MOST).map(personTile));
    model.togglePin(personTile('p19'));
    expect(model.value.pins).not.toContain('person:p19');
    for (const each of many) model.toggleSigner(each);
    expect(model.value.signers).toEqual(['p18', 'p19']);
    expect(model.value.pins).not.toContain('person:p18');
  });
});

describe('the stage', () => {
  const person = (identity: string, change: Partial<Person> = {}): Person => ({
    identity, name: identity, isLocal: identity === 'me', speaking: false, muted: false, connection: 'good', camera: undefined, ...change,
  });
  const crowd = (count: number) => [person('me'), ...Array.from({ length: count - 1 }, (_, i) => person(`p${i + 1}`))];
  const screen = (identity: string): Screen => ({ id: `screen:${identity}`, identity, name: identity, isLocal: false, picture: { id: 1, attach: () => () => undefined } });
  const scene = (change: Partial<Scene>): Scene => ({
    people: crowd(3), screens: [], chosen: new StageModel().value, spotlight: [], floor: undefined, size: { width: 1264, height: 614 }, now: 0, ...change,
  });
  const ids = (change: Partial<Scene>) => arrange(EMPTY_SEATING, scene(change)).tiles.map((tile) => tile.id);

  test('shows 25 of 49 on the first page and the others on the second, nobody twice', () => {
    const first = arrange(EMPTY_SEATING, scene({ people: crowd(49) }));
    expect(first.pages).toBe(Math.ceil(49 / first.tiles.length));
    expect(first.tiles.length).toBeLessThanOrEqual(25);
    expect(first.tiles.length).toBeGreaterThanOrEqual(20);
    expect(first.foot).toBeDefined();
    const seen = new Set<string>();
    for (let page = 0; page < first.pages; page++) {
      for (const id of ids({ people: crowd(49), chosen: { ...new StageModel().value, page } })) {
        expect(seen.has(id)).toBe(false);
        seen.add(id);
      }
    }
    expect(seen.size).toBe(49);
  });

  test('of up to 25 on a desk has no pages', () => {
    const { tiles, pages, foot } = arrange(EMPTY_SEATING, scene({ people: crowd(25) }));
    expect([tiles.length, pages, foot]).toEqual([25, 1, undefined]);
  });

  test('leaves the own picture out where it floats or is hidden, unless one is alone or pinned oneself', () => {
    const self = (self: 'floating' | 'hidden', change = {}) => ({ ...new StageModel().value, self, ...change });
    const floating = arrange(EMPTY_SEATING, scene({ chosen: self('floating') }));
    expect(floating.floating?.identity).toBe('me');
    expect(floating.tiles.map((tile) => tile.id)).toEqual(['person:p1', 'person:p2']);
    const hidden = arrange(EMPTY_SEATING, scene({ chosen: self('hidden') }));
    expect(hidden.floating).toBeUndefined();
    expect(hidden.tiles).toHaveLength(2);
    expect(ids({ chosen: self('hidden'), people: crowd(1) })).toEqual(['person:me']);
    expect(ids({ chosen: self('hidden', { pins: ['person:me'] }) })).toContain('person:me');
  });

  test('with a screen and many people pages the strip and keeps the screen on every page', () => {
    for (const page of [0, 1]) {
      const chosen = { ...new StageModel().value, page };
      const { tiles, pages, foot } = arrange(EMPTY_SEATING, scene({ people: crowd(12), screens: [screen('p1')], chosen }));
      expect(pages).toBeGreaterThan(1);
      expect(foot).toBeDefined();
      expect(tiles[0]?.id).toBe('screen:p1');
      expect(tiles[0]?.main).toBe(true);
    }
  });

  test('is a mirror image in a language that runs from right to left', () => {
    expect(mirrored({ x: 10, y: 5, width: 100, height: 50 }, 400, true)).toEqual({ x: 290, y: 5, width: 100, height: 50 });
    expect(cornerByKey('bottom-end', 'ArrowLeft', true)).toBe('bottom-end');
    expect(cornerByKey('bottom-end', 'ArrowLeft', false)).toBe('bottom-start');
    expect(cornerByKey('bottom-end', 'ArrowUp', false)).toBe('top-end');
    expect(cornerByKey('bottom-end', 'a', false)).toBeUndefined();
    expect(cornerAt(10, 10, 400, 300, false)).toBe('top-start');
    expect(cornerAt(10, 290, 400, 300, true)).toBe('bottom-end');
  });
});

describe('moving tiles', () => {
  const rect = { x: 0, y: 0, width: 100, height: 50 };

  test('starts from where the tile was, in size and place', () => {
    expect(inverse(rect, { x: 50, y: 20, width: 200, height: 100 })).toBe('translate(-50.0px, -20.0px) scale(0.5000, 0.5000)');
    expect(inverse(rect, { ...rect, x: 1 })).toBeUndefined();
    expect(inverse(rect, { ...rect, width: 0 })).toBeUndefined();
  });

  test('is animated once for a move, not for a new window, and not where motion is unwelcome', () => {
    const animated: unknown[] = [];
    const element = { animate: (frames: unknown) => animated.push(frames) } as unknown as HTMLElement;
    const flip = new Flip(() => false);
    flip.moved(element, rect, 'a');
    flip.moved(element, { ...rect, x: 300 }, 'a');
    expect(animated).toHaveLength(1);
    flip.moved(element, { ...rect, x: 100 }, 'b');
    expect(animated).toHaveLength(1);
    const calm = new Flip(() => true);
    calm.moved(element, rect, 'a');
    calm.moved(element, { ...rect, x: 300 }, 'a');
    expect(animated).toHaveLength(1);
  });
});

describe('a screen that is looked at closely', () => {
  const box = { width: 800, height: 400 };

  test('keeps the point under the pointer where it is, and shows nothing beyond the edge', () => {
    const zoom = zoomAt(WHOLE, 2, { x: 100, y: -50 }, box);
    expect(zoom).toEqual({ scale: 2, x: -100, y: 50 });
    expect(panBy(zoom, 5_000, -5_000, box)).toEqual({ scale: 2, x: 400, y: -200 });
    expect(zoomAt(WHOLE, 100, { x: 0, y: 0 }, box).scale).toBe(MAX_SCALE);
    expect(zoomAt(zoom, 0.001, { x: 33, y: 44 }, box)).toEqual(WHOLE);
  });

  test('is worked by keys, which mean nothing else there', () => {
    const larger = zoomByKey(WHOLE, '+', box);
    expect(larger?.scale).toBeCloseTo(STEP);
    expect(zoomByKey(WHOLE, 'ArrowLeft', box)).toBeUndefined();
    expect(zoomByKey({ scale: 2, x: 0, y: 0 }, 'ArrowLeft', box)).toEqual({ scale: 2, x: 100, y: 0 });
    expect(zoomByKey({ scale: 2, x: 9, y: 9 }, '0', box)).toEqual(WHOLE);
    expect(zoomByKey(WHOLE, 'x', box)).toBeUndefined();
  });

  test('is worked by fingers: two enlarge, one moves', () => {
    let zoom = WHOLE;
    const pinch = new Pinch(() => zoom, () => box, (next) => (zoom = next));
    pinch.down(1, { x: -50, y: 0 });
    pinch.down(2, { x: 50, y: 0 });
    pinch.move(2, { x: 150, y: 0 });
    expect(zoom.scale).toBeCloseTo(2);
    pinch.up(2);
    const before = zoom.x;
    pinch.move(1, { x: -30, y: 0 });
    expect(zoom.x).toBeCloseTo(before + 20);
    pinch.up(1);
    pinch.move(1, { x: 300, y: 0 });
    expect(zoom.x).toBeCloseTo(before + 20);
    pinch.double({ x: 0, y: 0 });
    expect(zoom).toEqual(WHOLE);
  });
});

describe('a weak network', () => {
  test('is the one’s whose it is', () => {
    expect(markOf('good', 'weak', false)).toEqual({ bars: 1, whose: 'theirs' });
    expect(markOf('weak', 'weak', false)).toEqual({ bars: 1, whose: 'yours' });
    expect(markOf('weak', 'lost', false)).toEqual({ bars: 0, whose: 'theirs' });
    expect(markOf('weak', 'weak', true)).toEqual({ bars: 1, whose: 'yours' });
    expect(markOf('weak', 'good', false)).toBeUndefined();
    expect(markOf('excellent', 'excellent', true)).toBeUndefined();
  });

  test('is said after a while, and once dismissed only after it was good in between', () => {
    const hint = new NetworkHint();
    expect(hint.update('weak', 0)).toBe(false);
    expect(hint.update('weak', HINT_AFTER_MS)).toBe(true);
    hint.dismiss();
    expect(hint.update('weak', HINT_AFTER_MS * 3)).toBe(false);
    hint.update('good', HINT_AFTER_MS * 4);
    hint.update('lost', HINT_AFTER_MS * 4 + 1);
    expect(hint.update('lost', HINT_AFTER_MS * 5 + 2)).toBe(true);
  });
});

describe('the edge of what stands large', () => {
  test('is moved by arrow keys the way they point, also from right to left, and put back by Enter', () => {
    expect(shareByKey(0.5, 'ArrowRight', true, false)).toBeCloseTo(0.55);
    expect(shareByKey(0.5, 'ArrowRight', true, true)).toBeCloseTo(0.45);
    expect(shareByKey(0.5, 'ArrowUp', false, false)).toBeCloseTo(0.45);
    expect(shareByKey(0.5, 'ArrowUp', true, false)).toBeUndefined();
    expect([shareByKey(0.5, 'Home', true, false), shareByKey(0.5, 'End', true, false)]).toEqual([0.3, 0.9]);
    expect(shareByKey(0.9, 'ArrowDown', false, false)).toBe(0.9);
    expect(shareByKey(0.5, 'Enter', true, false)).toBeNull();
  });

  test('stays within its bounds wherever it is dragged', () => {
    const stage = new StageModel();
    expect(stage.value.share).toBeUndefined();
    for (const [wish, kept] of [[2, 0.9], [0, 0.3], [0.6, 0.6]] as const) {
      stage.setShare(wish);
      expect(stage.value.share).toBe(kept);
    }
    stage.setShare(undefined);
    expect(stage.value.share).toBeUndefined();
  });
});

test('the watermark names who watches, and the minute', () => {
  const text = watermarkText('Ada <b>', new Date(2026, 4, 7, 9, 5), 'en-GB');
  expect(text).toBe('Ada <b> · 07/05/2026, 09:05');
});
