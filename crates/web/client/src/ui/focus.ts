// SPDX-License-Identifier: EUPL-1.2
/** Where a new view takes the place of another, the keyboard and the screen reader start at its heading. */
export function focusOnMount(element: HTMLElement): void {
  element.focus({ preventScroll: true });
}
