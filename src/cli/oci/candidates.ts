/** What a shell may offer next, one candidate a line. */
import { listContainerIds } from "#runtime/state.ts";
import { complete } from "../completion.ts";
import { globalOptions } from "./global-options.ts";
import { loadCommands } from "./registry.ts";

/** Candidates for the last of `words`, the command line so far. */
export async function printableCandidates(words: readonly string[], defaultRoot: string): Promise<string> {
  const at = words.findLastIndex((word) => word === "--root" || word.startsWith("--root="));
  const root = words[at] === "--root" ? words[at + 1] : words[at]?.slice("--root=".length);
  const candidates = await complete(words, {
    commands: await loadCommands(),
    globalOptions,
    sources: {
      images: () => Promise.resolve([]),
      containers: () => Promise.resolve(listContainerIds(root ?? defaultRoot)),
    },
  });
  return candidates.map((candidate) => `${candidate}\n`).join("");
}
