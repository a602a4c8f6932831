/** Memory that nobody uses any more, before the runtime finds that out. */

/**
 * Frees the memory of `bytes` at once, where the runtime can and where it is all of its buffer. Nobody may look at them any more.
 *
 * What is read in a stream is thrown away faster than runtimes look for what is unused.
 */
export function freeNow(bytes: Uint8Array): void {
  // The types are those of the oldest Node.
  const memory = bytes.buffer as ArrayBuffer & { transfer?: (bytes: number) => unknown };
  if (memory.byteLength === bytes.length) memory.transfer?.(0);
}

let collect = (): void => undefined;

/** Hands in what looks for unused memory at once, if that is worth its time. Without it, `betweenPhases` does nothing. */
export function collectGarbageWith(collector: () => void): void {
  collect = collector;
}

/** To be called where long work has left much behind and is about to take as much again: the peak is then that of one phase and not of two. */
export function betweenPhases(): void {
  collect();
}
