/** The compiled executable: `gantry`, or the compiler of `gantry-runtime` when started by that name. Only what is needed is loaded. */
import { basename, dirname, join } from "node:path";
import { realpathSync } from "node:fs";

const version = "0.1.0";

/** The executor lies beside the executable; links to the executable are followed. */
function executorPath(): string {
  return process.env["GANTRY_EXECUTOR"] || join(dirname(realpathSync(process.execPath)), "gantry-executor");
}

async function main(): Promise<number> {
  const words = process.argv.slice(2);
  if (basename(process.argv0) === "gantry-runtime") {
    const { runtimeMain } = await import("./runtime.ts");
    return await runtimeMain(words, version);
  }
  const { gantryMain } = await import("./gantry.ts");
  return await gantryMain(words, {
    version,
    // Looked for on use: few commands that only look need an executor.
    get executable() {
      return executorPath();
    },
  });
}

void main().then((exitCode) => {
  process.exit(exitCode);
});
