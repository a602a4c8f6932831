/** `create` and `run`: from a bundle to the program that its container is. */
import { isAbsolute, join } from "node:path";
import { CodedError } from "#base/errors.ts";
import { encodeProgram, type Program, type Step } from "#program/encode.ts";
import type { RuntimeConfig } from "#spec/runtime-config.ts";
import type { CgroupManager } from "./compile/context.ts";
import { compileHookOutputs } from "./compile/annotations.ts";
import { compileContainer, type MadeForContainer } from "./compile/compile.ts";
import { byDefault, step, unsupported } from "./compile/context.ts";
import {
  callersSignal,
  compileDelete,
  compileKill,
  compileStart,
  compileState,
  hasOwnProcesses,
  removalSteps,
  type ContainerRecord,
} from "./compile/lifecycle.ts";
import type { Supervision } from "./compile/supervision.ts";
import type { PassedDescriptors } from "./compile/supervision.ts";
import type { HostFacts } from "./facts.ts";
import { formatRecord } from "./record.ts";
import { preparedProgramPath, stateFiles, type PreparedVerb, type StateFiles } from "./state-files.ts";

/** What a bundle's container is made of. */
export interface BundleOptions {
  readonly id: string;
  /** Absolute path of the bundle, without symbolic links. */
  readonly bundle: string;
  readonly config: RuntimeConfig;
  readonly facts: HostFacts;
  /** Absolute path of the directory of all containers' state. */
  readonly stateRoot: string;
  /** `create`: the process waits for `start`. `run`: until its end. `run-detached`: until its program runs. */
  readonly mode: "create" | "run" | "run-detached";
  readonly pidFile?: string;
  /** Absolute path of the unix socket that gets the terminal of a container that is left running. */
  readonly consoleSocket?: string;
  /** Absolute path of the unix socket that gets a pidfd of the container. */
  readonly pidfdSocket?: string;
  /** Descriptors of the caller that the container gets. */
  readonly descriptors?: PassedDescriptors;
  readonly noPivot: boolean;
  readonly noNewKeyring: boolean;
  readonly cgroupManager: CgroupManager;
  /** Whether to go on without cgroups that may not be made; `auto`: unless this is root. */
  readonly rootless?: "true" | "false" | "auto";
  /** Keeps the state of a container that `run` has seen end. */
  readonly keep?: boolean;
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

/**
 * The program that makes (and runs) a bundle's container; nothing is touched. Compiling the same bundle again gives the same program.
 * @throws CodedError `invalid-argument`, `invalid-spec`, `unsupported`, `not-found`
 */
export function compileBundle(options: BundleOptions): Program {
  const { id, bundle, config, mode } = options;
  const files = stateFiles(join(options.stateRoot, checkContainerId(id)));
  let removal: readonly Step[] = [];
  const { program, warnings } = compileContainer({
    config,
    bundle,
    id,
    facts: options.facts,
    noPivot: options.noPivot,
    noNewKeyring: options.noNewKeyring,
    cgroupManager: options.cgroupManager,
    ...(options.rootless === undefined ? {} : { rootless: options.rootless }),
    supervision: supervisionOf(options, files),
    begin: (made) => {
      const record = recordOf(options, made);
      removal = removalSteps(record, files);
      return claimSteps(record, files, mode);
    },
  });
  for (const warning of warnings) options.warn(warning);
  const main = options.keep === true ? program.main.filter(({ op }) => op.op !== "cleanup") : program.main;
  return { ...program, main, cleanup: removal };
}

/** The socket that is to get a pidfd of the container, as crun understands it. @see crun(1) */
const receiverAnnotation = "run.oci.pidfd_receiver";

/** Who looks after the container in each mode. */
export function supervisionOf(
  { mode, pidFile, pidfdSocket = "", descriptors, consoleSocket, config }: BundleOptions,
  files: StateFiles,
): Supervision {
  const annotated = config.annotations?.[receiverAnnotation] ?? "";
  if (annotated !== "" && !isAbsolute(annotated)) throw unsupported(`/annotations/${receiverAnnotation}`, "its path is not absolute");
  const receivers = [
    ...(pidfdSocket === "" ? [] : [{ path: pidfdSocket, message: "standard", origin: byDefault("the caller asked for a pidfd") }]),
    ...(annotated === "" ? [] : [{ path: annotated, message: "standard", origin: `/annotations/${receiverAnnotation}` }]),
  ];
  const records = {
    recordChild: files.child,
    created: files.created,
    ...(pidFile === undefined ? {} : { pidFile }),
    ...(descriptors === undefined ? {} : { descriptors }),
    ...(receivers.length === 0 ? {} : { pidfdReceivers: receivers }),
  };
  const console = consoleSocket === undefined ? {} : { consoleSocket };
  if (mode === "create") return { kind: "create", fifo: files.start, failure: files.failed, ...records, ...console };
  if (mode === "run-detached") return { kind: "detached", ...records, ...console };
  if (consoleSocket !== undefined)
    throw new CodedError("invalid-argument", "cannot use console socket if the runtime will not detach or allocate tty");
  return { kind: "foreground", ...records };
}

/** What is kept of a container. */
export function recordOf(
  { id, bundle, noNewKeyring }: Pick<BundleOptions, "id" | "bundle" | "noNewKeyring">,
  { config, cgroups, rootfs, cleanup }: MadeForContainer,
): ContainerRecord {
  const freezer = cgroups.flatMap(({ hierarchy, path }) => {
    if (hierarchy === undefined) return [`${path}/cgroup.freeze`];
    return hierarchy.controllers.includes("freezer") ? [`${path}/freezer.state`] : [];
  })[0];
  const paths = cgroups.map(({ path }) => path);
  const [first] = paths;
  const others =
    first === undefined || hasOwnProcesses(config)
      ? []
      : [step({ op: "signal-cgroup", path: first, signal: 9 }, byDefault("the container has no pid namespace whose end would end all"))];
  return {
    id,
    bundle,
    rootfs,
    config,
    cgroups: paths,
    ...(freezer === undefined ? {} : { freezer }),
    ...(noNewKeyring ? { noNewKeyring } : {}),
    cleanup: [...others, ...cleanup],
  };
}

/** Takes the id, then writes down what later commands need. What fails before the id is taken must not remove its owner's files. */
export function claimSteps(record: ContainerRecord, files: StateFiles, mode: BundleOptions["mode"]): Step[] {
  const origin = byDefault("later commands find the container there");
  const programs: Readonly<Partial<Record<PreparedVerb, Program>>> = {
    ...(mode === "create" ? { start: compileStart(record, files) } : {}),
    state: compileState(record, files),
    kill: compileKill(files, callersSignal),
    delete: compileDelete(record, files, false),
    "delete-force": compileDelete(record, files, true),
  };
  return [
    step({ op: "on-failure", cleanup: 0 }, byDefault("the id may be another container's")),
    step({ op: "claim", path: files.directory }, byDefault("one container has the id at a time")),
    step({ op: "on-failure", cleanup: 1 }, byDefault("the id is ours")),
    ...compileHookOutputs(record.config),
    step({ op: "create-file", path: files.record, mode: 0o600, data: Buffer.from(formatRecord(record)) }, origin),
    ...(Object.entries(programs) as [PreparedVerb, Program][]).map(([verb, program]) =>
      step({ op: "create-file", path: preparedProgramPath(files.directory, verb), mode: 0o600, data: encodeProgram(program) }, origin),
    ),
  ];
}
