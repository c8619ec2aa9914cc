// SPDX-License-Identifier: EUPL-1.2
/** The background that somebody picked from their disk. It is made small, kept in this browser, and sent nowhere. */
import { mayOpen } from './pixels.ts';

const KEY = 'parvis.background';
/** Larger files are those of cameras that nobody sits before; reading one would hold the page up. */
export const MAX_FILE_BYTES = 20 * 1024 * 1024;
const MAX_WIDTH = 1280;
const MAX_HEIGHT = 720;
/** Of the text that is kept: browsers keep five million for the whole site. */
const MAX_KEPT = 1_000_000;
const QUALITIES = [0.85, 0.6, 0.35] as const;

type Storage = Pick<globalThis.Storage, 'getItem' | 'setItem'>;

/** A file of these few kinds, of a size that can be read. What it really holds shows when it is opened. */
export function isAcceptable(file: Pick<File, 'type' | 'size'>): boolean {
  return /^image\/(png|jpeg|webp|avif|gif)$/.test(file.type) && file.size > 0 && file.size <= MAX_FILE_BYTES;
}

/** As large as it needs to be, in its own proportions. */
export function fitted(width: number, height: number): [number, number] {
  const scale = Math.min(1, Math.max(MAX_WIDTH / width, MAX_HEIGHT / height));
  // A panorama is as wide as it likes to be: what would not be seen of it is cut off.
  return [Math.min(Math.round(width * scale), 2 * MAX_WIDTH), Math.min(Math.round(height * scale), 2 * MAX_HEIGHT)];
}

/** Throws for what is no image. Answers whether it could be kept for the next time. */
export async function takeImage(file: File, storage: Storage | undefined): Promise<{ image: ImageBitmap; kept: boolean }> {
  if (!isAcceptable(file) || !(await mayOpen(file))) throw new Error('no image, or too large');
  const picture = await createImageBitmap(file);
  const [width, height] = fitted(picture.width, picture.height);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  if (context === null) throw new Error('there is no canvas');
  const scale = Math.max(width / picture.width, height / picture.height);
  const [w, h] = [picture.width * scale, picture.height * scale];
  context.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
  picture.close();
  let kept = false;
  for (const quality of QUALITIES) {
    const text = textOf(new Uint8Array(await (await canvas.convertToBlob({ type: 'image/jpeg', quality })).arrayBuffer()));
    if (text.length > MAX_KEPT) continue;
    kept = keep(text, storage);
    break;
  }
  return { image: await createImageBitmap(canvas), kept };
}

/** Whether there is one from before. */
export function hasImage(storage: Storage | undefined): boolean {
  return read(storage) !== undefined;
}

/** Nothing where there is none, or what is kept is none any more. */
export async function keptImage(storage: Storage | undefined): Promise<ImageBitmap | undefined> {
  const text = read(storage);
  if (text === undefined) return undefined;
  try {
    return await createImageBitmap(new Blob([bytesOf(text)], { type: 'image/jpeg' }));
  } catch {
    return undefined;
  }
}

function keep(text: string, storage: Storage | undefined): boolean {
  try {
    storage?.setItem(KEY, text);
    return storage !== undefined;
  } catch {
    // Full or forbidden: the image holds for this page only.
    return false;
  }
}

function read(storage: Storage | undefined): string | undefined {
  try {
    return storage?.getItem(KEY) || undefined;
  } catch {
    return undefined;
  }
}

function textOf(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
