// SPDX-License-Identifier: EUPL-1.2
/**
 * Addresses of scripts, under Trusted Types: the page's policy takes no plain text where a script is started. This is the one
 * place that makes something it takes, and it makes it of addresses of our own files only.
 */

/** What browsers with Trusted Types have; the others take plain text. */
interface Factory {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): unknown };
}

/** Is on the list of the page's headers. */
const POLICY = 'parvis-own-scripts';

/** Made with the page's first script, before anything else could take the name: it is given once, and to whoever asks first. */
const policy: { createScriptURL(url: string): unknown } = (
  globalThis as { trustedTypes?: Factory }
).trustedTypes?.createPolicy(POLICY, { createScriptURL: (url) => checked(url) }) ?? { createScriptURL: (url) => checked(url) };

/** The address of a file of the client's own, to start a worker with. */
export function ownScript(url: string): string {
  return policy.createScriptURL(url) as string;
}

/** Throws for whatever is no script of this origin. */
export function checked(url: string, origin = location.origin): string {
  const whole = new URL(url, origin);
  const own = whole.origin === origin && whole.search === '' && whole.hash === '';
  if (!own || !/^\/(assets\/[\w.-]+\.js|sw\.js)$/.test(whole.pathname)) throw new TypeError(`${url}: no script of this client`);
  return whole.href;
}
