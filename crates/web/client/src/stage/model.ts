// SPDX-License-Identifier: EUPL-1.2
/** What the user chose to see, for as long as the call lasts. */
import { Store } from '../store.ts';
import { MAIN_AT_MOST, personTile, type TileId, type ViewKind } from './compose.ts';
import { SHARE_LEAST, SHARE_MOST } from './layout.ts';

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
  /** How much of the stage is what stands large, as the user moved its edge; nothing: as much as it needs. */
  share: number | undefined;
}

export class StageModel extends Store<StageState> {
  constructor(start: Partial<StageState> = {}) {
    super({ view: 'grid', pins: [], signers: [], self: 'tile', corner: 'bottom-end', page: 0, share: undefined, ...start });
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

  setShare(share: number | undefined): void {
    this.patch({ share: share === undefined ? undefined : Math.min(SHARE_MOST, Math.max(SHARE_LEAST, share)) });
  }

  setPage(page: number): void {
    this.patch({ page: Math.max(0, page) });
  }
}

/** How far an arrow key moves the edge. */
const SHARE_STEP = 0.05;

/** Where a key moves the edge of what stands large; null for where it is by itself, nothing for a key that moves it nowhere. */
export function shareByKey(share: number, key: string, wide: boolean, rightToLeft: boolean): number | null | undefined {
  const [less, more] = wide ? (rightToLeft ? ['ArrowRight', 'ArrowLeft'] : ['ArrowLeft', 'ArrowRight']) : ['ArrowUp', 'ArrowDown'];
  if (key === less) return Math.max(SHARE_LEAST, share - SHARE_STEP);
  if (key === more) return Math.min(SHARE_MOST, share + SHARE_STEP);
  if (key === 'Home') return SHARE_LEAST;
  if (key === 'End') return SHARE_MOST;
  return key === 'Enter' ? null : undefined;
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
