/** Every command of `gantry` and where it lives, in the order of the help. Only the one that is called is loaded; help and completion load all. */
import type { Command } from "./command.ts";
import type { CliContext } from "./context.ts";

const loaders: Readonly<Record<string, () => Promise<Command<CliContext>>>> = {
  run: async () => (await import("./commands/containers.ts")).runCommand,
  ps: async () => (await import("./commands/containers.ts")).psCommand,
  rm: async () => (await import("./commands/containers.ts")).rmCommand,
  pull: async () => (await import("./commands/registry.ts")).pullCommand,
  push: async () => (await import("./commands/registry.ts")).pushCommand,
  login: async () => (await import("./commands/login.ts")).loginCommand,
  logout: async () => (await import("./commands/login.ts")).logoutCommand,
  registry: async () => (await import("./commands/remote.ts")).registryCommand,
  load: async () => (await import("./commands/load.ts")).loadCommand,
  save: async () => (await import("./commands/copy.ts")).saveCommand,
  copy: async () => (await import("./commands/copy.ts")).copyCommand,
  images: async () => (await import("./commands/images.ts")).imagesCommand,
  tag: async () => (await import("./commands/image-names.ts")).tagCommand,
  untag: async () => (await import("./commands/image-names.ts")).untagCommand,
  rmi: async () => (await import("./commands/images.ts")).rmiCommand,
  prune: async () => (await import("./commands/image-names.ts")).pruneCommand,
  history: async () => (await import("./commands/history.ts")).historyCommand,
  export: async () => (await import("./commands/flat.ts")).exportCommand,
  import: async () => (await import("./commands/flat.ts")).importCommand,
  manifest: async () => (await import("./commands/manifest.ts")).manifestCommand,
  artifact: async () => (await import("./commands/artifact.ts")).artifactCommand,
  layout: async () => (await import("./commands/layout.ts")).layoutCommand,
  inspect: async () => (await import("./commands/inspect.ts")).inspectCommand,
  explain: async () => (await import("./commands/explain.ts")).explainCommand,
  verify: async () => (await import("./commands/images.ts")).verifyCommand,
  commit: async () => (await import("./commands/new-images.ts")).commitCommand,
  diff: async () => (await import("./commands/layers.ts")).diffCommand,
  unpack: async () => (await import("./commands/new-images.ts")).unpackCommand,
  repack: async () => (await import("./commands/new-images.ts")).repackCommand,
  layers: async () => (await import("./commands/layers.ts")).layersCommand,
  config: async () => (await import("./commands/new-images.ts")).configCommand,
  append: async () => (await import("./commands/new-images.ts")).appendCommand,
  squash: async () => (await import("./commands/new-images.ts")).squashCommand,
  rebase: async () => (await import("./commands/new-images.ts")).rebaseCommand,
  completion: async () => (await import("./commands/completion.ts")).completionCommand,
};

/** The names of all commands. */
export const commandNames: readonly string[] = Object.keys(loaders);

/** Loads the command `name`; undefined when there is none. */
export async function findCommand(name: string): Promise<Command<CliContext> | undefined> {
  return Object.hasOwn(loaders, name) ? await loaders[name]?.() : undefined;
}

/** Loads all commands. */
export async function loadCommands(): Promise<readonly Command<CliContext>[]> {
  return await Promise.all(Object.values(loaders).map(async (load) => await load()));
}
