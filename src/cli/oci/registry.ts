/**
 * Every command of `gantry-runtime` and where it lives, in the order of the help. Only the one that is called is loaded; help and
 * completion load all.
 */
import type { RuntimeCommand } from "./context.ts";

const loaders: Readonly<Record<string, () => Promise<RuntimeCommand>>> = {
  create: async () => (await import("./create.ts")).createCommand,
  start: async () => (await import("./lifecycle-commands.ts")).startCommand,
  state: async () => (await import("./lifecycle-commands.ts")).stateCommand,
  kill: async () => (await import("./lifecycle-commands.ts")).killCommand,
  delete: async () => (await import("./lifecycle-commands.ts")).deleteCommand,
  run: async () => (await import("./create.ts")).runCommand,
  update: async () => (await import("./update.ts")).updateCommand,
  exec: async () => (await import("./exec.ts")).execCommand,
  list: async () => (await import("./list.ts")).listCommand,
  ps: async () => (await import("./ps.ts")).psCommand,
  events: async () => (await import("./events.ts")).eventsCommand,
  pause: async () => (await import("./freeze.ts")).pauseCommand,
  resume: async () => (await import("./freeze.ts")).resumeCommand,
  checkpoint: async () => (await import("./checkpoint.ts")).checkpointCommand,
  restore: async () => (await import("./restore.ts")).restoreCommand,
  spec: async () => (await import("./spec.ts")).specCommand,
  features: async () => (await import("./features.ts")).featuresCommand,
  completion: async () => (await import("./completion.ts")).completionCommand,
};

/** The names of all commands. */
export const commandNames: readonly string[] = Object.keys(loaders);

/** Loads the command `name`; undefined when there is none. */
export async function findCommand(name: string): Promise<RuntimeCommand | undefined> {
  return Object.hasOwn(loaders, name) ? await loaders[name]?.() : undefined;
}

/** Loads all commands. */
export async function loadCommands(): Promise<readonly RuntimeCommand[]> {
  return await Promise.all(Object.values(loaders).map(async (load) => await load()));
}
