/** A lock for one process: tests use it where the product asks the executor for one that all processes share. */
import type { WithLock } from "#image/layout.ts";

/** A lock of its own; work runs in the order of the calls, and work that fails lets the next run. */
export function inProcessLock(): WithLock {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work);
    last = result.catch(() => undefined);
    return result;
  };
}
