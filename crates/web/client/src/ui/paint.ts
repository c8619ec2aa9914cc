// SPDX-License-Identifier: EUPL-1.2

/** Does it once what stands on the page now has been painted; in a tab that nobody looks at, where nothing is painted, soon. */
export function afterPaint(work: () => void): void {
  if (document.hidden) setTimeout(work);
  else requestAnimationFrame(() => setTimeout(work));
}
