// SPDX-License-Identifier: EUPL-1.2
/**
 * A value that changes as a whole and tells its observers. It follows Svelte's store contract, without needing Svelte: the
 * models that extend it are tested in Node.
 */
export class Store<T> {
  #value: T;
  readonly #observers = new Set<(value: T) => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  /** Calls `observer` now and at each change; the returned function ends that. */
  subscribe(observer: (value: T) => void): () => void {
    this.#observers.add(observer);
    observer(this.#value);
    return () => this.#observers.delete(observer);
  }

  protected set(value: T): void {
    if (value === this.#value) return;
    this.#value = value;
    for (const observer of [...this.#observers]) observer(value);
  }

  protected patch(change: Partial<T>): void {
    this.set({ ...this.#value, ...change });
  }
}
