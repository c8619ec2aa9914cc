// SPDX-License-Identifier: EUPL-1.2
/** The room's link, as it is given to others. In an encrypted meeting the key is part of it: without it nobody could come in. */
export type Invited = 'copied' | 'failed';

export function shareLink(from: Pick<Location, 'origin' | 'pathname' | 'hash'> = location): string {
  return from.origin + from.pathname + from.hash;
}

export async function copyLink(): Promise<Invited> {
  try {
    await navigator.clipboard.writeText(shareLink());
    return 'copied';
  } catch {
    // No permission, or a page without secure connection, where there is no clipboard at all.
    return 'failed';
  }
}
