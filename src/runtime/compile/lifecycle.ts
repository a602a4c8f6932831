/**
 * What comes after `create`, as programs: `start`, `state`, `kill` and `delete` of one container.
 *
 * They depend on nothing but its record, so they are compiled with the container and kept beside it.
 */
import type { Program, Step } from "#program/encode.ts";
import type { RuntimeConfig } from "#spec/runtime-config.ts";
import type { StateFiles } from "../state-files.ts";
import { compileHookOutputs } from "./annotations.ts";
import { byDefault, isNewNamespace, step } from "./context.ts";
import { compileHooks, hasHooks } from "./hooks.ts";

/** What is kept of a container for as long as it exists (`container.json`). */
export interface ContainerRecord {
  readonly id: string;
  /** Absolute host path of the bundle. */
  readonly bundle: string;
  /** Absolute host path of the root file system. */
  readonly rootfs: string;
  readonly config: RuntimeConfig;
  /** Its cgroup directories on the host; none when it has none of its own. */
  readonly cgroups: readonly string[];
  /** The file that says whether it is frozen. */
  readonly freezer?: string;
  /** It has the session keyring of whoever made it, and so has what is added to it. */
  readonly noNewKeyring?: true;
  /** What ends it, from the compilation that made it. */
  readonly cleanup: readonly Step[];
}

/** Number for "the signal that the caller names", see the op `signal`. */
export const callersSignal = 0xffffffff;
const sigkill = 9;

/** Lets the created process run, then runs the poststart hooks; when one of those fails, the container is stopped. @see runtime-spec runtime.md#lifecycle */
export function compileStart(record: ContainerRecord, files: StateFiles): Program {
  const hooks = compileHooks(record, "poststart");
  return {
    main: [
      step({ op: "on-failure", cleanup: 0 }, byDefault("a container that cannot be started stays as it is")),
      step({ op: "start", fifo: files.start, failure: files.failed }, byDefault("its process waits there")),
      ...(hooks.length === 0
        ? []
        : [
            ...compileHookOutputs(record.config),
            step({ op: "open-process", record: files.child, required: 0 }, byDefault("hooks are told its pid")),
            step({ op: "on-failure", cleanup: 1 }, byDefault("a container whose hooks fail is stopped")),
            ...hooks,
          ]),
    ],
    cleanup: hooks.length === 0 ? [] : [step({ op: "signal", number: sigkill }, byDefault("a container whose hooks fail is stopped"))],
    children: [],
  };
}

/** Prints the state as JSON. @see runtime-spec runtime.md#state */
export function compileState(record: ContainerRecord, files: StateFiles): Program {
  const { config, id, bundle, rootfs, freezer = "" } = record;
  const head = JSON.stringify({ ociVersion: config.ociVersion, id }, null, 2);
  const tail = JSON.stringify({ bundle, rootfs, annotations: config.annotations ?? {}, owner: "" }, null, 2);
  const op = {
    op: "print-state",
    directory: files.directory,
    freezer,
    head: `${head.slice(0, -2)},\n  `,
    tail: `,${tail.slice(1)}\n`,
  } as const;
  return { main: [step(op, byDefault("asked for"))], cleanup: [], children: [] };
}

/** Sends a signal to the container's process, which must live. */
export function compileKill(files: StateFiles, signal: number): Program {
  return {
    main: [
      step({ op: "open-process", record: files.child, required: 1 }, byDefault("the signal is meant for this process alone")),
      step({ op: "signal", number: signal }, byDefault("asked for")),
    ],
    cleanup: [],
    children: [],
  };
}

/** Removes all that is left of the container; what lives is a failure, or with `force` killed first. */
export function compileDelete(record: ContainerRecord, files: StateFiles, force: boolean): Program {
  return {
    main: [
      step({ op: "on-failure", cleanup: 0 }, byDefault("a container that lives stays as it is")),
      step({ op: "open-process", record: files.child, required: 0 }, byDefault("a container is deleted when it has ended")),
      step(
        { op: "require-ended", fifo: files.start, force: force ? 1 : 0, freezer: record.freezer ?? "" },
        byDefault("a container is deleted when it has ended"),
      ),
      ...(hasHooks(record.config, "poststop") ? compileHookOutputs(record.config) : []),
      step({ op: "on-failure", cleanup: 1 }, byDefault("nothing holds the removal up any more")),
      step({ op: "cleanup" }, byDefault("nothing of the container is left behind")),
    ],
    cleanup: removalSteps(record, files),
    children: [],
  };
}

/** The end of a container: its cgroups, its hooks, its files. Failures are warnings. @see runtime-spec config.md#poststop */
export function removalSteps(record: ContainerRecord, files: StateFiles): Step[] {
  return [
    ...record.cleanup,
    ...compileHooks(record, "poststop"),
    step({ op: "remove-tree", path: files.directory }, byDefault("nothing is kept of a container that is deleted")),
  ];
}

/** Whether the container's processes end with its first one, because that is the first of their pid namespace. */
export function hasOwnProcesses(config: RuntimeConfig): boolean {
  return isNewNamespace(config.linux ?? {}, "pid");
}
