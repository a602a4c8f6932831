/** Who watches the container: the executor until its end, or nobody after `create` or a start in the background. */
import type { Step } from "#program/encode.ts";
import { byDefault, step } from "./context.ts";

/** What becomes of one of the container's standard descriptors. */
export type StdioMode = "inherit" | "relay" | "null";

/** A stream socket that gets a pidfd of the process before its pid is written anywhere. */
export interface PidfdReceiver {
  /** Absolute host path. */
  readonly path: string;
  /** What is sent along; at least a byte, or nothing would be sent. runc says "standard" of a container and "setns" of an exec. */
  readonly message: string;
  readonly origin: string;
}

/** What both ways have in common. */
interface Records {
  /** Where to keep /proc/PID/stat of the container's process, which names it for ever. */
  readonly recordChild?: string;
  /** Where the caller wants the pid, in decimal. */
  readonly pidFile?: string;
  /** Who wants a pidfd of the process. */
  readonly pidfdReceivers?: readonly PidfdReceiver[];
  /** A file that appears when `create` (or the start of the program) is complete. */
  readonly created?: string;
  /** Descriptors of the caller that the container's process gets; none when absent. */
  readonly descriptors?: PassedDescriptors;
  /** Held until the container's process runs (or is ready), so that no other program works on the container meanwhile. */
  readonly lock?: { readonly path: string; readonly exclusive: boolean };
}

/**
 * Runs the container and stays with it until it ends. A container with a terminal is connected to the executor's own
 * standard input and output; when the input is the caller's terminal, that is raw meanwhile.
 */
export interface ForegroundSupervision extends Records {
  readonly kind: "foreground";
  /** stdin, stdout, stderr; inherited when absent. With a terminal, "relay" means the same as "inherit". */
  readonly stdio?: readonly [StdioMode, StdioMode, StdioMode];
  /** Where to keep how the container ended. */
  readonly recordExit?: string;
  /** Detaches the executor from the caller's session, so that it outlives the caller's terminal. */
  readonly newSession?: boolean;
}

/** Makes the container and leaves it waiting for `start`. */
export interface CreateSupervision extends Records {
  readonly kind: "create";
  /** Host path of the fifo that `start` opens for writing; it is made. */
  readonly fifo: string;
  /** Host path of the file that the process writes to when it fails after `start`. */
  readonly failure: string;
  /** Absolute host path of the unix socket that gets the master of the container's terminal; needed when there is one. */
  readonly consoleSocket?: string;
}

/** Runs the container and leaves it when its program runs. */
export interface DetachedSupervision extends Records {
  readonly kind: "detached";
  /** As for `create`. */
  readonly consoleSocket?: string;
}

/** How many descriptors of the caller, from 3 on, the process gets. */
export interface PassedDescriptors {
  /** Those of socket activation, which are first. @see sd_listen_fds(3) */
  readonly listening?: number;
  /** Those that the caller wants kept, after the listening ones. */
  readonly preserved?: number;
}

/** How the container's process is looked after. */
export type Supervision = ForegroundSupervision | CreateSupervision | DetachedSupervision;

/** The executor's own steps, by the moment at which they run. */
export interface SupervisionPlan {
  readonly begin: readonly Step[];
  /** Before the clone, which passes the descriptors on. */
  readonly stdio: readonly Step[];
  /** While the child waits: from here on, others can find it. */
  readonly recordChild: readonly Step[];
  readonly end: readonly Step[];
}

/** Compiles how the container is looked after; asked for by the caller, not by the config. */
export function compileSupervision(
  supervision: Supervision,
  { poststart, hasTerminal }: { readonly poststart: readonly Step[]; readonly hasTerminal: boolean },
): SupervisionPlan {
  const { lock, recordChild, pidFile, created, pidfdReceivers = [] } = supervision;
  const unlock = lock === undefined ? [] : [step({ op: "unlock" }, byDefault("others may see the container now"))];
  const { kind } = supervision;
  const reached = [
    ...pidfdReceivers.map(({ path, message, origin }) => step({ op: "send-pidfd", path, message }, origin)),
    ...(pidFile === undefined ? [] : [step({ op: "child-pid", path: pidFile, create: 1 }, byDefault("the caller asked for a pid file"))]),
    ...(created === undefined
      ? []
      : [
          step({ op: "create-file", path: created, mode: 0o600, data: new Uint8Array() }, byDefault("others ask how far the container is")),
        ]),
  ];
  return {
    begin: [
      ...(kind === "foreground" && supervision.newSession === true
        ? [step({ op: "setsid" }, byDefault("the monitor outlives its caller's terminal"))]
        : []),
      ...(lock === undefined
        ? []
        : [
            step(
              { op: "lock", path: lock.path, exclusive: lock.exclusive ? 1 : 0 },
              byDefault("one program at a time works on a container"),
            ),
          ]),
    ],
    stdio: [
      ...(kind === "foreground" ? compileStdio(supervision.stdio ?? ["inherit", "inherit", "inherit"], hasTerminal) : []),
      ...(kind === "create" ? waitingPlace(supervision) : []),
    ],
    recordChild:
      recordChild === undefined
        ? []
        : [step({ op: "record-child", path: recordChild }, byDefault("a pid with its start time names the process for ever"))],
    end:
      kind === "create"
        ? [step({ op: "await-ready" }, byDefault("the container is created when its process waits for `start`")), ...reached, ...unlock]
        : [
            step({ op: "await-exec" }, byDefault("the container runs when its program does")),
            ...reached,
            ...unlock,
            ...poststart,
            ...(kind === "foreground" ? watch(supervision) : []),
          ],
  };
}

function compileStdio(modes: readonly StdioMode[], hasTerminal: boolean): Step[] {
  return modes.flatMap((mode, fd) => {
    if (mode === "relay" && !hasTerminal)
      return [step({ op: "relay-stdio", fd }, byDefault("the caller reads and writes the container's output and input"))];
    return mode === "null" ? [step({ op: "null-stdio", fd }, byDefault("nobody reads or writes here"))] : [];
  });
}

/** The id that chown() leaves as it is: only root may give files away, itself included. */
const keepOwner = 0xffffffff;

/** Before the clone, so that the process finds the place open, wherever it will be. */
function waitingPlace({ fifo, failure }: CreateSupervision): Step[] {
  const origin = byDefault("the process waits there for `start`");
  return [
    step({ op: "make-node", path: fifo, mode: 0o010600, major: 0, minor: 0, uid: keepOwner, gid: keepOwner }, origin),
    step({ op: "open-start", path: fifo, failure }, origin),
  ];
}

function watch({ recordExit }: ForegroundSupervision): Step[] {
  return [
    step({ op: "supervise" }, byDefault("the executor stays until the container ends")),
    ...(recordExit === undefined ? [] : [step({ op: "record-exit", path: recordExit }, byDefault("others ask how the container ended"))]),
    step({ op: "cleanup" }, byDefault("nothing of the container is left behind")),
  ];
}
