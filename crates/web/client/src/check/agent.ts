// SPDX-License-Identifier: EUPL-1.2
/** The browser's name, its main version and the family of its system: what a helper asks first, and no more than that. */

const BROWSERS: readonly (readonly [string, RegExp])[] = [
  ['Edge', /\bEdg(?:e|A|iOS)?\/(\d+)/],
  ['Opera', /\bOPR\/(\d+)/],
  ['Firefox', /\b(?:Firefox|FxiOS)\/(\d+)/],
  ['Chromium', /\b(?:Chrome|Chromium|HeadlessChrome|CriOS)\/(\d+)/],
  ['Safari', /\bVersion\/(\d+)[\d.]* (?:Mobile\/\w+ )?Safari\//],
];
const SYSTEMS: readonly (readonly [string, RegExp])[] = [
  ['Android', /\bAndroid\b/],
  ['iOS', /\b(?:iPhone|iPad|iPod)\b/],
  ['Windows', /\bWindows\b/],
  ['macOS', /\bMacintosh\b/],
  ['ChromeOS', /\bCrOS\b/],
  ['Linux', /\bLinux\b/],
];

export function nameOfBrowser(agent: string): string {
  const found = BROWSERS.map(([name, form]) => [name, form.exec(agent)?.[1]] as const).find(([, version]) => version !== undefined);
  const system = SYSTEMS.find(([, form]) => form.test(agent))?.[0];
  const browser = found === undefined ? '?' : `${found[0]} ${found[1]}`;
  return system === undefined ? browser : `${browser} (${system})`;
}
