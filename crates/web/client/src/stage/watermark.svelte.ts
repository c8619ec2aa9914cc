// SPDX-License-Identifier: EUPL-1.2
/** The name of who watches, over all that is watched, where the meeting's rules say so. */

import { watermarkText } from './watermark.ts';

/** What stands over every picture of the call, wherever it is shown; nothing where the rules don't ask for it. */
export const watermark = $state<{ text: string | undefined }>({ text: undefined });

/** Keeps it there, with the time as it passes, until the returned function is called. */
export function keepWatermark(name: string, locale: string): () => void {
  const write = () => (watermark.text = watermarkText(name, new Date(), locale));
  write();
  const timer = setInterval(write, 10_000);
  return () => {
    clearInterval(timer);
    watermark.text = undefined;
  };
}
