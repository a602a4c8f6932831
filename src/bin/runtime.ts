/** Wires the `gantry-runtime` command to this process, which the executor started and whose program it waits for (executor/front.c). */
import { appendFileSync, closeSync, readFileSync, realpathSync, writeSync } from "node:fs";
import { resolve } from "node:path";
import { inaccessible, isSystemError } from "#base/errors.ts";
import { runRuntime } from "#cli/oci/runtime.ts";
import { encodeProgram } from "#program/encode.ts";
import { nowMs } from "#sys/clock.ts";
import { releaseStandard, writeStandard } from "#sys/standard-streams.ts";
import { defaultRoot, findCache, listenDescriptors } from "./runtime-environment.ts";
import { readBundleConfig } from "./explain-bundle.ts";
import { findProgram, listEnvironment, runOther } from "./run-other.ts";

/** Where the executor reads its program. */
const programFd = 3;

/** Runs `gantry-runtime` with `words` and resolves with its exit code, which the executor has been told as well. */
export async function runtimeMain(words: readonly string[], version: string): Promise<number> {
  const parent = process.ppid;
  let delivered = false;
  const deliver = (program: Uint8Array): void => {
    delivered = true;
    try {
      for (let written = 0; written < program.length;) written += writeSync(programFd, program, written);
      closeSync(programFd);
    } catch (error) {
      // The executor was killed: nobody waits any more, and nothing was done.
      if (!isSystemError(error) || error.code !== "EPIPE") throw error;
    }
    // Whoever reads what the container says to its end would wait for this process too.
    releaseStandard();
  };
  const exitCode = await runRuntime(words, {
    version,
    deliver,
    readConfig: readBundleConfig,
    findCache,
    resolveBundle: (path) => read("open bundle", path, () => realpathSync(path)),
    resolvePath: (path) => resolve(path),
    write: (text) => writeStandard(1, text),
    writeError: (text) => writeStandard(2, text),
    appendLog: (path, line) => {
      appendFileSync(path, line);
    },
    readText: (path) => read("read", path, () => readFileSync(path === "-" ? 0 : path, "utf8")),
    runOther,
    findProgram,
    // As the default root, asked for by few.
    get environment() {
      return listEnvironment();
    },
    pause: async (ms) => {
      await Bun.sleep(ms);
      return process.ppid === parent;
    },
    now: nowMs,
    listenDescriptors: listenDescriptors(),
    // Asked for when no other is given.
    get defaultRoot() {
      return defaultRoot();
    },
  });
  // After a failure there is nobody who waits for a program: the executor has become this process, or waits for its end.
  if (words[0] === "__failed" || words[0] === "__warned") return exitCode;
  if (!delivered) {
    deliver(
      encodeProgram({ main: [{ op: { op: "exit", code: exitCode }, origin: "default: nothing is to be run" }], cleanup: [], children: [] }),
    );
  }
  // At its end Bun gives terminals the settings that they had at its start; by then the executor has made the caller's raw.
  process.kill(process.pid, "SIGKILL");
  return exitCode;
}

function read<Value>(verb: string, path: string, access: () => Value): Value {
  try {
    return access();
  } catch (cause) {
    throw inaccessible(`${verb} ${path}`, cause);
  }
}
