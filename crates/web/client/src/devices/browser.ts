// SPDX-License-Identifier: EUPL-1.2
/** Which browser this is, for the one thing that cannot be asked of the browser itself: where its permissions are changed. */

export type BrowserKind = 'chromium' | 'firefox' | 'safari' | 'safari-ios' | 'other';

export function browserOf(agent: string, touchPoints = 0): BrowserKind {
  if (/\b(iPhone|iPad|iPod)\b/.test(agent)) return 'safari-ios';
  // An iPad that asks for desktop pages calls itself a Mac, but Macs have no touch.
  if (/\bMacintosh\b/.test(agent) && touchPoints > 1 && /\bSafari\//.test(agent) && !/Chrom(e|ium)\//.test(agent)) return 'safari-ios';
  if (/\bFirefox\//.test(agent)) return 'firefox';
  if (/Chrom(e|ium)\//.test(agent)) return 'chromium';
  if (/\bSafari\//.test(agent) && /\bVersion\//.test(agent)) return 'safari';
  return 'other';
}
