/** What the commands of `gantry` get of this process: files, environment, signals, the engine at its root. */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { CodedError, inaccessible } from "#base/errors.ts";
import { freeNow } from "#base/memory.ts";
import type { CliContext } from "#cli/context.ts";
import type { Output } from "#cli/output.ts";
import { openEngine } from "#engine/local-engine.ts";
import type { Engine } from "#engine/engine.ts";
import type { Snapshotter } from "#engine/place.ts";
import { nowMs } from "#sys/clock.ts";
import { writeTextAtomic } from "#sys/small-files.ts";
import { isTerminal, writeStandard } from "#sys/standard-streams.ts";
import { onSignal } from "./signals.ts";
import { spawnWithBun } from "./spawn-bun.ts";
import { stateRoot } from "./state-root.ts";

/**
 * The context for one command line; `root` is what it says of `--root`.
 *
 * What most commands do not need is loaded on use, here and below: every module that is loaded for nothing costs each command its time.
 */
export function makeContext(root: string | undefined, output: Output, installation: { readonly executable: string }): CliContext {
  let engine: Engine | undefined;
  return {
    output,
    engine: () => {
      engine ??= openEngine({
        root: stateRoot(root),
        executor: {
          spawn: spawnWithBun,
          get executable() {
            return installation.executable;
          },
        },
        registries: { environment: process.env, userId: process.getuid?.() ?? 0 },
        ...forcedSnapshotter(),
      });
      return engine;
    },
    currentDirectory: process.cwd(),
    environment: process.env,
    now: nowMs,
    user: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    writeText: (path, text) => writeTextAtomic(path, text, 0o644),
    readText,
    standardInput: () => process.stdin as AsyncIterable<Uint8Array>,
    writeBytes: (bytes) => {
      const isWritten = writeStandard(1, bytes);
      freeNow(bytes);
      if (isWritten) return Promise.resolve();
      return Promise.reject(new CodedError("unavailable", "cannot write to standard output: nobody reads it any more"));
    },
    isOutputTerminal: () => isTerminal(1),
    readSecret: async (prompt) => (await import("./read-secret.ts")).readSecret(prompt),
    isInputTerminal: () => isTerminal(0),
    onSignal,
    isBundle: (path) => path.includes("/") && existsSync(join(path, "config.json")),
    explainBundle: async (bundle) => (await import("./explain-bundle.ts")).explainBundle(realpathSync(bundle)),
  };
}

function forcedSnapshotter(): { snapshotter?: Snapshotter } {
  const wanted = process.env["GANTRY_SNAPSHOTTER"];
  if (wanted === undefined || wanted === "") return {};
  if (wanted !== "overlay" && wanted !== "copy")
    throw new CodedError("invalid-argument", `GANTRY_SNAPSHOTTER is ${JSON.stringify(wanted)}, not overlay or copy`);
  return { snapshotter: wanted };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw inaccessible(`read ${path}`, cause);
  }
}
