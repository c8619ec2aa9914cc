// SPDX-License-Identifier: EUPL-1.2
/**
 * How large a picture would be once it is opened, read from its head: a few kilobytes may be gigabytes then, and the page, or the whole
 * computer, stands still.
 */

/** Forty megapixels: what cameras take, and 160 MB once it is opened. */
const MAX_PIXELS = 40_000_000;
/** So far into a file its size is looked for; a camera puts small pictures and texts of its own before it. */
const HEAD_BYTES = 1024 * 1024;

export type Dimensions = readonly [width: number, height: number];

/** Whether it may be opened. One that doesn't say how large it is may not. */
export async function mayOpen(file: Blob): Promise<boolean> {
  const found = dimensions(new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer()));
  return found !== undefined && found[0] > 0 && found[1] > 0 && found[0] * found[1] <= MAX_PIXELS;
}

/** Width and height of a PNG, GIF, JPEG, WebP or AVIF picture. Nothing where its head is none of these, or cut off. */
export function dimensions(bytes: Uint8Array): Dimensions | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    if (said(view, 0, 8) === '\x89PNG\r\n\x1a\n') return said(view, 12, 4) === 'IHDR' ? [view.getUint32(16), view.getUint32(20)] : undefined;
    if (/^GIF8[79]a$/.test(said(view, 0, 6))) return [view.getUint16(6, true), view.getUint16(8, true)];
    if (said(view, 0, 3) === '\xff\xd8\xff') return ofJpeg(view);
    if (said(view, 0, 4) === 'RIFF' && said(view, 8, 4) === 'WEBP') return ofWebP(view);
    if (/^ftyp(avif|avis|mif1|msf1)$/.test(said(view, 4, 8))) return ofAvif(view);
  } catch (error) {
    // The head ends before it has said so.
    if (!(error instanceof RangeError)) throw error;
  }
  return undefined;
}

/** Among the segments, the one that begins a frame (ITU-T T.81, B.1.1 and B.2.2). Each step goes forward. */
function ofJpeg(view: DataView): Dimensions | undefined {
  let at = 2;
  while (view.getUint8(at) === 0xff) {
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) at += 1;
    else if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) at += 2;
    else if (marker === 0xd9 || marker === 0xda) return undefined;
    else if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) {
      return [view.getUint16(at + 7), view.getUint16(at + 5)];
    } else at += 2 + view.getUint16(at + 2);
  }
  return undefined;
}

/** The first chunk says it, each kind in its own way (RFC 9649, 2.5 to 2.7). */
function ofWebP(view: DataView): Dimensions | undefined {
  const three = (at: number) => view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
  switch (said(view, 12, 4)) {
    case 'VP8 ':
      return said(view, 23, 3) === '\x9d\x01\x2a' ? [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff] : undefined;
    case 'VP8L': {
      const sides = view.getUint32(21, true);
      return view.getUint8(20) === 0x2f ? [(sides & 0x3fff) + 1, ((sides >>> 14) & 0x3fff) + 1] : undefined;
    }
    case 'VP8X':
      return [three(24) + 1, three(27) + 1];
    default:
      return undefined;
  }
}

/** The largest of what its boxes name (ISO/IEC 23008-12, 6.5.3): a grid is larger than its parts. */
function ofAvif(view: DataView): Dimensions | undefined {
  let largest: Dimensions | undefined;
  const end = Math.min(view.byteLength - 16, 64 * 1024);
  for (let at = 8; at <= end; at++) {
    if (view.getUint8(at) !== 0x69 || said(view, at, 4) !== 'ispe') continue;
    const [width, height] = [view.getUint32(at + 8), view.getUint32(at + 12)];
    if (largest === undefined || width * height > largest[0] * largest[1]) largest = [width, height];
  }
  return largest;
}

/** Bytes as letters; a RangeError where there are less. */
function said(view: DataView, at: number, count: number): string {
  let text = '';
  for (let place = at; place < at + count; place++) text += String.fromCharCode(view.getUint8(place));
  return text;
}
