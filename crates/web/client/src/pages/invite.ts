// SPDX-License-Identifier: EUPL-1.2
/** Copies the room's link. What comes after the path (a key, one day) is not part of it unless asked for. */
export type Invited = 'copied' | 'failed';

export async function copyLink(): Promise<Invited> {
  try {
    await navigator.clipboard.writeText(location.origin + location.pathname);
    return 'copied';
  } catch {
    // No permission, or a page without secure connection, where there is no clipboard at all.
    return 'failed';
  }
}
