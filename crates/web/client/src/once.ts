// SPDX-License-Identifier: EUPL-1.2

/** Loads at the first call, and once. What failed is tried again next time: the network may be back by then. */
export function once<T>(load: () => Promise<T>): () => Promise<T> {
  let loading: Promise<T> | undefined;
  return () => {
    loading ??= load();
    loading.catch(() => (loading = undefined));
    return loading;
  };
}

/** The same for views. What links their styles does so a single time, whether they come or not: here those that were lost are linked anew. */
export function onceWithStyles<T>(load: () => Promise<T>, page = (): Pick<Document, 'addEventListener'> => document): () => Promise<T> {
  const lost = new Set<HTMLLinkElement>();
  let listening = false;
  return once(async () => {
    // It does not bubble: only on the way down can it be seen.
    if (!listening) page().addEventListener('error', ({ target }) => note(target as HTMLLinkElement), true);
    listening = true;
    for (const link of [...lost]) {
      lost.delete(link);
      await again(link);
    }
    return await load();
  });

  function note(link: HTMLLinkElement): void {
    if (link.rel === 'stylesheet') lost.add(link);
  }
}

/** Links a style sheet anew that did not come. */
function again(link: HTMLLinkElement): Promise<void> {
  const next = link.cloneNode() as HTMLLinkElement;
  return new Promise((resolve, reject) => {
    next.addEventListener('load', () => resolve());
    next.addEventListener('error', () => reject(new Error(`${next.href} did not come`)));
    link.replaceWith(next);
  });
}
