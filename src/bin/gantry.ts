/** Wires the `gantry` command to this process. */
import { collectGarbageWith } from "#base/memory.ts";
import { runGantry } from "#cli/gantry.ts";
import { makeHashesWith } from "#spec/digest.ts";
import type { Output } from "#cli/output.ts";
import { isTerminal, writeStandard } from "#sys/standard-streams.ts";
import { makeContext } from "./context.ts";

/** What both executables are given. */
export interface Installation {
  readonly version: string;
  /** Path of the executor's binary. */
  readonly executable: string;
}

/** Of which the executable itself is 40 MB. A look through the heap takes 5 to 10 ms. */
const largeBytes = 90 << 20;

const longWork = new Set([
  "load",
  "verify",
  "copy",
  "save",
  "pull",
  "push",
  "unpack",
  "repack",
  "commit",
  "append",
  "squash",
  "layers",
  "layout",
  "export",
  "import",
]);

/** Runs `gantry` with `words` and resolves with its exit code. */
export async function gantryMain(words: readonly string[], installation: Installation): Promise<number> {
  const output: Output = {
    write: (text) => {
      // A reader that has seen enough (`gantry images | head -1`) is no failure.
      if (!writeStandard(1, text)) process.exit(0);
    },
    writeError: (text) => {
      writeStandard(2, text);
    },
    // A dumb terminal cannot be drawn over.
    get interactive() {
      return isTerminal(2) && process.env["TERM"] !== "dumb";
    },
  };
  makeHashesWith((algorithm) => new Bun.CryptoHasher(algorithm));
  collectGarbageWith(() => {
    if (process.memoryUsage.rss() > largeBytes) Bun.gc(true);
  });
  // The executable starts with the JIT held back (scripts/build.ts); these commands run long enough to want it.
  if (words.some((word) => longWork.has(word))) Bun.unsafe.setJITPolicy(1);
  return await runGantry(words, {
    output,
    version: installation.version,
    makeContext: (root) => makeContext(root, output, installation),
  });
}
