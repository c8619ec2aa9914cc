// SPDX-License-Identifier: EUPL-1.2
/** Which panel is open beside the stage. One at most: the stage is what the meeting is about. */

export const PANELS = ['chat', 'people', 'polls', 'breakouts', 'moderation', 'invite'] as const;
export type PanelName = (typeof PANELS)[number];

export class PanelUi {
  open = $state<PanelName>();
  /** The choice of reactions is open. */
  reacting = $state(false);
  /** Whom the next message of the chat is for; nobody: all. */
  to = $state<string>();
  /** Where the keyboard goes back to. */
  #opener: HTMLElement | undefined;

  show(name: PanelName): void {
    if (this.open === undefined && document.activeElement instanceof HTMLElement) this.#opener = document.activeElement;
    this.open = name;
  }

  toggle(name: PanelName): void {
    if (this.open === name) this.close();
    else this.show(name);
  }

  close(): void {
    this.open = undefined;
    // What opened it may have been an entry of a list that has closed since.
    (this.#opener?.isConnected === true ? this.#opener : document.querySelector('main'))?.focus();
    this.#opener = undefined;
  }
}
