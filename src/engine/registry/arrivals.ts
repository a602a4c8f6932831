/** Things that come in any order and are waited for in another. */

/** One promise for each key. */
export class Arrivals<Key> {
  readonly #known = new Map<
    Key,
    { readonly promise: Promise<void>; readonly resolve: () => void; readonly reject: (error: Error) => void }
  >();
  #failure: Error | undefined;

  /** Resolves once `key` is there. */
  of(key: Key): Promise<void> {
    return this.#find(key).promise;
  }

  /** `key` is there. */
  arrived(key: Key): void {
    this.#find(key).resolve();
  }

  /** Nothing comes any more: who waits, now or later, gets the error. What is there stays there. */
  fail(error: Error): void {
    this.#failure = error;
    for (const { reject } of this.#known.values()) reject(error);
  }

  #find(key: Key): { readonly promise: Promise<void>; readonly resolve: () => void; readonly reject: (error: Error) => void } {
    let found = this.#known.get(key);
    if (found === undefined) {
      let resolve: () => void = () => undefined;
      let reject: (error: Error) => void = () => undefined;
      const promise = new Promise<void>((yes, no) => {
        resolve = yes;
        reject = no;
      });
      // Nobody may be waiting for it.
      promise.catch(() => undefined);
      found = { promise, resolve, reject };
      this.#known.set(key, found);
      if (this.#failure !== undefined) reject(this.#failure);
    }
    return found;
  }
}
