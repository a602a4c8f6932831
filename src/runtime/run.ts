/** `run`: from a bundle to the program that its container is, and the claim on its id. */
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import type { Program } from "#program/encode.ts";
import type { RuntimeConfig } from "#spec/runtime-config.ts";
import { isRunning, parseProcessStat } from "#sys/process.ts";
import { listDirectory, makeDirectory, makeNewDirectory, readTextIfThere, removeFile } from "#sys/small-files.ts";
import { compileContainer } from "./compile/compile.ts";
import type { PassedDescriptors } from "./compile/terminal.ts";
import { readHostFacts } from "./facts.ts";

/** What a bundle's container is made of. */
export interface BundleOptions {
  readonly id: string;
  /** Absolute path of the bundle, without symbolic links. */
  readonly bundle: string;
  readonly config: RuntimeConfig;
  /** Directory of all containers' state. */
  readonly stateRoot: string;
  readonly pidFile?: string;
  /** Descriptors of the caller that the container gets. */
  readonly descriptors?: PassedDescriptors;
  readonly noPivot: boolean;
  /** Told about what was asked for and cannot be given. */
  readonly warn: (sentence: string) => void;
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

/** Compiles the container of a bundle and takes its id. Whoever runs the program removes the state with it. @throws CodedError `already-exists`, `invalid-spec`, `unsupported` */
export function prepareBundle(options: BundleOptions): Program {
  const program = compileBundle(options);
  claimState(options.stateRoot, stateDirectory(options), options.id);
  return program;
}

/** The program of a bundle's container; nothing is touched. Compiling the same bundle again gives the same program. */
export function compileBundle(options: BundleOptions): Program {
  const { id, bundle, config } = options;
  const directory = stateDirectory(options);
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
      ...(options.descriptors === undefined ? {} : { descriptors: options.descriptors }),
    },
    extraCleanup: [{ op: { op: "remove-tree", path: directory }, origin: "default: nothing is kept of a container that ended" }],
  });
  for (const warning of warnings) options.warn(warning);
  return program;
}

function stateDirectory({ stateRoot, id }: BundleOptions): string {
  return join(stateRoot, checkContainerId(id));
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
