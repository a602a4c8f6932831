/** Wires the `gantry-runtime` command to this process. */
import { appendFileSync, realpathSync } from "node:fs";
import { constants } from "node:os";
import { CodedError } from "#base/errors.ts";
import { runRuntime } from "#cli/oci/runtime.ts";
import type { Installation } from "./gantry.ts";
import { readBundleConfig } from "./explain-bundle.ts";
import { spawnWithBun } from "./spawn-bun.ts";

const forwarded = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

/** Runs `gantry-runtime` with `words` and resolves with its exit code. */
export async function runtimeMain(words: readonly string[], installation: Installation): Promise<number> {
  return await runRuntime(words, {
    version: installation.version,
    executor: { spawn: spawnWithBun, executable: installation.executable },
    readConfig: readBundleConfig,
    resolveBundle,
    write: (text) => process.stdout.write(text),
    writeError: (text) => process.stderr.write(text),
    appendLog: (path, line) => {
      appendFileSync(path, line);
    },
    onSignal: (deliver) => {
      for (const name of forwarded) process.on(name, () => { deliver(constants.signals[name]); });
    },
    defaultRoot: process.getuid?.() === 0 ? "/run/gantry" : `${process.env["XDG_RUNTIME_DIR"] ?? `/tmp/gantry-${process.getuid?.() ?? 0}`}/gantry`,
  });
}

function resolveBundle(path: string): string {
  try {
    return realpathSync(path);
  } catch (cause) {
    throw new CodedError("not-found", `cannot open bundle ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
