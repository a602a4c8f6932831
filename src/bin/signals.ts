/** Signals to this process that are meant for a container. */
import { constants } from "node:os";

/** Signals that a user or a service manager sends to a foreground command, and that the container is meant to get. */
const forwarded = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT", "SIGALRM"] as const;

/** Calls `deliver` for each of them until the returned function is called. */
export function onSignal(deliver: (number: number) => void): () => void {
  const listener = (name: NodeJS.Signals): void => {
    deliver(constants.signals[name]);
  };
  for (const name of forwarded) process.on(name, listener);
  return () => {
    for (const name of forwarded) process.off(name, listener);
  };
}
