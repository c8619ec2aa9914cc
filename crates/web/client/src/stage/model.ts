// SPDX-License-Identifier: EUPL-1.2
/** What the user chose to see, for as long as the call lasts. */
import { Store } from '../store.ts';
import { MAIN_AT_MOST, personTile, type TileId, type ViewKind } from './compose.ts';

/** Where the user sees themselves. Hidden or not, the others see them all the same. */
export type SelfView = 'tile' | 'floating' | 'hidden';

export type Corner = 'top-start' | 'top-end' | 'bottom-start' | 'bottom-end';

export interface StageState {
  view: ViewKind;
  pins: readonly TileId[];
  signers: readonly string[];
  self: SelfView;
  corner: Corner;
  page: number;
}

export class StageModel extends Store<StageState> {
  constructor(start: Partial<StageState> = {}) {
    super({ view: 'grid', pins: [], signers: [], self: 'tile', corner: 'bottom-end', page: 0, ...start });
  }

  setView(view: ViewKind): void {
    this.patch({ view, page: 0 });
  }

  /** Several may be pinned; the first pin gives way where they would be too many. */
  togglePin(id: TileId): void {
    const { pins } = this.value;
    const next = pins.includes(id) ? pins.filter((each) => each !== id) : [...pins, id].slice(-MAIN_AT_MOST);
    this.patch({ pins: next, page: 0 });
  }

  toggleSigner(identity: string): void {
    const { signers, pins } = this.value;
    const is = signers.includes(identity);
    this.patch({
      signers: is ? signers.filter((each) => each !== identity) : [...signers, identity].slice(-2),
      // One place is enough.
      pins: is ? pins : pins.filter((each) => each !== personTile(identity)),
      page: 0,
    });
  }

  unpinAll(): void {
    this.patch({ pins: [], signers: [] });
  }

  setSelf(self: SelfView): void {
    this.patch({ self });
  }

  setCorner(corner: Corner): void {
    this.patch({ corner });
  }

  setPage(page: number): void {
    this.patch({ page: Math.max(0, page) });
  }
}

/** The corner that an arrow key leads to. */
export function cornerByKey(corner: Corner, key: string, rightToLeft: boolean): Corner | undefined {
  const [block, inline] = corner.split('-') as ['top' | 'bottom', 'start' | 'end'];
  switch (key) {
    case 'ArrowUp':
      return `top-${inline}`;
    case 'ArrowDown':
      return `bottom-${inline}`;
    case 'ArrowLeft':
      return `${block}-${rightToLeft ? 'end' : 'start'}`;
    case 'ArrowRight':
      return `${block}-${rightToLeft ? 'start' : 'end'}`;
    default:
      return undefined;
  }
}

/** The corner that a point of the stage is nearest to. */
export function cornerAt(x: number, y: number, width: number, height: number, rightToLeft: boolean): Corner {
  const left = x < width / 2;
  return `${y < height / 2 ? 'top' : 'bottom'}-${left !== rightToLeft ? 'start' : 'end'}`;
}
