/**
 * What must not stay when a signal ends this process. Work in our own directories is swept later; what lies in a user's directory,
 * beside the file that was asked for, nobody would ever look for.
 */
import { rmSync } from "node:fs";

const endings = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const unfinished = new Set<string>();
const listening = new Set<(typeof endings)[number]>();

/** Removes the file or tree `path` when a signal ends this process, until the returned function is called. */
export function removeWhenInterrupted(path: string): () => void {
  // Who listens already, a program that has us as a library, ends when it wants to.
  for (const signal of endings) if (unfinished.size === 0 && process.listenerCount(signal) === 0) listen(signal);
  unfinished.add(path);
  return () => {
    unfinished.delete(path);
    if (unfinished.size === 0) stopListening();
  };
}

function listen(signal: (typeof endings)[number]): void {
  listening.add(signal);
  process.on(signal, end);
}

function stopListening(): void {
  for (const signal of listening) process.off(signal, end);
  listening.clear();
}

function end(signal: NodeJS.Signals): void {
  // A second signal ends it at once.
  stopListening();
  for (const path of unfinished) {
    try {
      // The executor may be writing there for a moment yet.
      rmSync(path, { recursive: true, force: true, maxRetries: 3 });
    } catch {
      // There is nobody to tell.
    }
  }
  process.kill(process.pid, signal);
}
