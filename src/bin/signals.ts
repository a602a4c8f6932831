/** Signals to this process that are meant for a container. */

/**
 * Signals that a user or a service manager sends to a foreground command, and that the container is meant to get, with their numbers
 * (signal(7), the same on x86 and ARM): node:os, which knows them too, takes Bun half a millisecond to load.
 */
const forwarded = {
  SIGINT: 2,
  SIGTERM: 15,
  SIGHUP: 1,
  SIGQUIT: 3,
  SIGUSR1: 10,
  SIGUSR2: 12,
  SIGWINCH: 28,
  SIGCONT: 18,
  SIGALRM: 14,
} as const;

/** Calls `deliver` for each of them until the returned function is called. */
export function onSignal(deliver: (number: number) => void): () => void {
  const listener = (name: NodeJS.Signals): void => {
    deliver((forwarded as Partial<Record<NodeJS.Signals, number>>)[name] ?? 0);
  };
  const names = Object.keys(forwarded) as NodeJS.Signals[];
  for (const name of names) process.on(name, listener);
  return () => {
    for (const name of names) process.off(name, listener);
  };
}
