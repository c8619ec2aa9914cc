// SPDX-License-Identifier: EUPL-1.2
/** Finds the links in a text that somebody wrote. The text stays text: a view makes an element of each piece. */

export type Piece = { text: string; href?: string };

/** Nothing but these: a link that runs a script or opens a program is a trap. */
const LINK = /\b(?:https?:\/\/|www\.)[^\s<>"'`\u00a0\u201c\u201d\u00ab\u00bb]+/giu;
/** What ends a sentence, not a link. */
const AFTER = /[.,;:!?…]+$/u;
const LINKS_AT_MOST = 50;

export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let from = 0;
  let links = 0;
  for (const match of text.matchAll(LINK)) {
    if (links === LINKS_AT_MOST) break;
    const shown = trimmed(match[0]);
    const href = addressOf(shown);
    if (href === undefined) continue;
    if (match.index > from) found.push({ text: text.slice(from, match.index) });
    found.push({ text: shown, href });
    from = match.index + shown.length;
    links += 1;
  }
  if (from < text.length) found.push({ text: text.slice(from) });
  return found;
}

/** Without the full stop after it, and without a bracket that was opened before it. */
function trimmed(link: string): string {
  let shown = link.replace(AFTER, '');
  for (const [open, close] of ['()', '[]', '{}'] as const) {
    while (shown.endsWith(close ?? '') && count(shown, close) > count(shown, open)) {
      shown = shown.slice(0, -1).replace(AFTER, '');
    }
  }
  return shown;
}

function count(text: string, character: string | undefined): number {
  return text.split(character ?? '').length - 1;
}

function addressOf(text: string): string | undefined {
  const address = /^www\./i.test(text) ? `https://${text}` : text;
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) return undefined;
  // A name or a password before the host only serves to make one host look like another.
  if (url.username !== '' || url.password !== '') return undefined;
  return url.href;
}
