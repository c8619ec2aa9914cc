// SPDX-License-Identifier: EUPL-1.2
import { cleanLine } from '../text.ts';

/** What systems allow in a name, and a little less than some do. */
const LENGTH_AT_MOST = 120;

/**
 * The name of a file that somebody else chose: no path, nothing that is unseen or turns the direction of the text (so that
 * “gpj.exe” can't pose as a picture), no leading dot.
 */
export function cleanFileName(name: string): string {
  const last = name.split(/[/\\]/).pop() ?? '';
  // The name proper is shortened, never what tells the kind.
  const dot = last.lastIndexOf('.');
  const kind = dot > 0 && last.length - dot <= 12 ? cleanPart(last.slice(dot)) : '';
  const stem = cleanPart(kind === '' ? last : last.slice(0, dot)).replace(/^\.+/, '');
  const short = Array.from(stem).slice(0, LENGTH_AT_MOST - kind.length).join('').trim();
  return short === '' ? `file${kind}` : short + kind;
}

/** What file systems forbid is replaced, besides what no text of others may hold. */
function cleanPart(part: string): string {
  return cleanLine(part.replace(/[<>:"|?*]/g, '_'), LENGTH_AT_MOST);
}
