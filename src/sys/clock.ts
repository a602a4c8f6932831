/** Time and chance: the only place that asks the machine for them; everything above is handed values. */

/** Milliseconds since 1970, UTC. */
export function nowMs(): number {
  return Date.now();
}

/** Random bytes fit for names nobody can guess. Not from node:crypto: loading that takes Bun 6 ms. */
export function unguessableBytes(count: number): Buffer {
  return Buffer.from(globalThis.crypto.getRandomValues(new Uint8Array(count)));
}

/** Resolves after `ms` milliseconds. */
export function sleepMs(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
