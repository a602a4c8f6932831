/** Memory outside the heap, which the runtime gives back only when it finds it unused. */

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
