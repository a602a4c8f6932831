/** Wires the `gantry` command to this process: environment, streams, signals, the engine at its root. */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { constants, homedir } from "node:os";
import { join, resolve } from "node:path";
import { CodedError } from "#base/errors.ts";
import type { CliContext } from "#cli/context.ts";
import { runGantry } from "#cli/gantry.ts";
import type { Output } from "#cli/output.ts";
import { openEngine } from "#engine/local-engine.ts";
import type { Engine } from "#engine/engine.ts";
import type { Snapshotter } from "#engine/place.ts";
import { spawnWithBun } from "./spawn-bun.ts";
import { explainBundle } from "./explain-bundle.ts";

/** What both executables are given. */
export interface Installation {
  readonly version: string;
  /** Path of the executor's binary. */
  readonly executable: string;
}

/** Runs `gantry` with `words` and resolves with its exit code. */
export async function gantryMain(words: readonly string[], installation: Installation): Promise<number> {
  const output: Output = {
    write: (text) => process.stdout.write(text),
    writeError: (text) => process.stderr.write(text),
    interactive: process.stderr.isTTY,
  };
  // A reader that has seen enough (`gantry images | head -1`) is no failure.
  process.stdout.on("error", () => process.exit(0));
  return await runGantry(words, { output, version: installation.version, makeContext: (root) => makeContext(root, output, installation) });
}

function makeContext(root: string | undefined, output: Output, installation: Installation): CliContext {
  let engine: Engine | undefined;
  return {
    output,
    engine: () => {
      engine ??= openEngine({
        root: resolve(root ?? process.env["GANTRY_ROOT"] ?? defaultRoot()),
        executor: { spawn: spawnWithBun, executable: installation.executable },
        ...forcedSnapshotter(),
      });
      return engine;
    },
    currentDirectory: process.cwd(),
    environment: process.env,
    now: () => Date.now(),
    readText,
    standardInput: () => process.stdin as AsyncIterable<Uint8Array>,
    onSignal,
    isBundle: (path) => path.includes("/") && existsSync(join(path, "config.json")),
    explainBundle: (bundle) => Promise.resolve(explainBundle(realpathSync(bundle))),
  };
}

function defaultRoot(): string {
  if (process.getuid?.() === 0) return "/var/lib/gantry";
  return join(process.env["XDG_DATA_HOME"] ?? join(homedir(), ".local", "share"), "gantry");
}

function forcedSnapshotter(): { snapshotter?: Snapshotter } {
  const wanted = process.env["GANTRY_SNAPSHOTTER"];
  if (wanted === undefined || wanted === "") return {};
  if (wanted !== "overlay" && wanted !== "copy") throw new CodedError("invalid-argument", `GANTRY_SNAPSHOTTER is ${JSON.stringify(wanted)}, not overlay or copy`);
  return { snapshotter: wanted };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new CodedError("not-found", `cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** Signals that a user or a service manager sends to a foreground command, and that the container is meant to get. */
const forwarded = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT", "SIGALRM"] as const;

function onSignal(deliver: (number: number) => void): () => void {
  const listener = (name: NodeJS.Signals): void => {
    deliver(constants.signals[name]);
  };
  for (const name of forwarded) process.on(name, listener);
  return () => {
    for (const name of forwarded) process.off(name, listener);
  };
}
