/** `run`: a bundle's container in the foreground, from config to the end. */
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import { encodeProgram } from "#program/encode.ts";
import { launchProgram, type RunningProgram } from "#program/launch.ts";
import type { ExecutorPort } from "#program/task.ts";
import type { RuntimeConfig } from "#spec/runtime-config.ts";
import { isRunning, parseProcessStat } from "#sys/process.ts";
import { listDirectory, makeDirectory, makeNewDirectory, readTextIfThere, removeEmptyDirectory, removeFile } from "#sys/small-files.ts";
import { compileContainer } from "./compile/compile.ts";
import { describeFailure } from "./describe-failure.ts";
import { readHostFacts } from "./facts.ts";

/** What `run` takes. */
export interface RunBundleOptions {
  readonly id: string;
  /** Absolute path of the bundle, without symbolic links. */
  readonly bundle: string;
  readonly config: RuntimeConfig;
  /** Directory of all containers' state. */
  readonly stateRoot: string;
  readonly executor: ExecutorPort;
  readonly pidFile?: string;
  readonly noPivot: boolean;
  /** Told about what was asked for and cannot be given. */
  readonly warn: (sentence: string) => void;
}

/** A container of a bundle under way. */
export interface RunningBundle {
  readonly signal: RunningProgram["signal"];
  /** Resolves with the exit code when nothing of the container is left. @throws CodedError */
  readonly exitCode: Promise<number>;
}

/** Names that a state directory may have; the kernel's limit on names is one. */
const idPattern = /^[A-Za-z0-9_+.-]{1,255}$/;

/** Checks a container id. @throws CodedError `invalid-argument` */
export function checkContainerId(id: string): string {
  if (!idPattern.test(id) || id === "." || id === "..") {
    throw new CodedError(
      "invalid-argument",
      `cannot use ${JSON.stringify(id)} as a container id: it needs 1 to 255 letters, digits, "_", "+", "." or "-"`,
    );
  }
  return id;
}

/** Compiles and starts the container of a bundle. @throws CodedError `already-exists`, `invalid-spec`, `unsupported` */
export function runBundle(options: RunBundleOptions): RunningBundle {
  const { id, bundle, config } = options;
  const directory = join(options.stateRoot, checkContainerId(id));
  const { program, warnings } = compileContainer({
    config,
    bundle,
    id,
    facts: readHostFacts(),
    noPivot: options.noPivot,
    supervision: {
      kind: "foreground",
      recordChild: join(directory, "child"),
      ...(options.pidFile === undefined ? {} : { pidFile: options.pidFile }),
    },
    extraCleanup: [{ op: { op: "remove-tree", path: directory }, origin: "default: nothing is kept of a container that ended" }],
  });
  for (const warning of warnings) options.warn(warning);
  claimState(options.stateRoot, directory, id);
  try {
    const running = launchProgram(encodeProgram(program), {
      ...options.executor,
      programPath: join(directory, "program"),
      stdio: ["inherit", "inherit", "inherit"],
    });
    const exitCode = running.outcome.then((outcome) => {
      if (outcome.failure !== undefined) throw describeFailure(program, outcome.failure);
      for (const warning of outcome.warnings) options.warn(describeFailure(program, warning).message);
      return outcome.exitCode;
    });
    return { signal: running.signal, exitCode };
  } catch (error) {
    discardState(directory);
    throw error;
  }
}

/** Takes the id by making its directory; what a killed runtime left under it is taken over. */
function claimState(stateRoot: string, directory: string, id: string): void {
  makeDirectory(stateRoot, 0o711);
  try {
    makeNewDirectory(directory, 0o700);
  } catch (error) {
    const child = parseProcessStat(readTextIfThere(join(directory, "child")) ?? "");
    if (!(error instanceof CodedError) || child === undefined || isRunning(child)) {
      throw new CodedError("already-exists", `cannot make container ${id}: a container with that id exists`, { cause: error });
    }
    for (const name of listDirectory(directory)) removeFile(join(directory, name));
  }
}

function discardState(directory: string): void {
  for (const name of listDirectory(directory)) removeFile(join(directory, name));
  removeEmptyDirectory(directory);
}
