/** Wires the `gantry-runtime` command to this process. */
import { appendFileSync, realpathSync } from "node:fs";
import { constants } from "node:os";
import { CodedError } from "#base/errors.ts";
import { runRuntime } from "#cli/oci/runtime.ts";
import { nowMs } from "#sys/clock.ts";
import { writeStandard } from "#sys/standard-streams.ts";
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
    write: (text) => writeStandard(1, text),
    writeError: (text) => writeStandard(2, text),
    appendLog: (path, line) => {
      appendFileSync(path, line);
    },
    onSignal: (deliver) => {
      for (const name of forwarded)
        process.on(name, () => {
          deliver(constants.signals[name]);
        });
    },
    now: nowMs,
    defaultRoot:
      process.getuid?.() === 0 ? "/run/gantry" : `${process.env["XDG_RUNTIME_DIR"] ?? `/tmp/gantry-${process.getuid?.() ?? 0}`}/gantry`,
  });
}

function resolveBundle(path: string): string {
  try {
    return realpathSync(path);
  } catch (cause) {
    throw new CodedError("not-found", `cannot open bundle ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
