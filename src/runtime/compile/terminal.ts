/**
 * The process's terminal, who owns its standard descriptors, and the descriptors that its caller passes on.
 *
 * SPEC: runtime-spec config.md#process (`terminal`, `consoleSize`). The rest is what callers of runc rely on:
 * --console-socket, --preserve-fds, socket activation, and a /dev/stdout that a user other than root can open.
 */
import { CodedError } from "#base/errors.ts";
import type { Step } from "#program/encode.ts";
import type { ConfigProcess, IdMapping } from "#spec/runtime-config.ts";
import { byDefault, findNamespace, isNewNamespace, step, type Context } from "./context.ts";
import type { PassedDescriptors, Supervision } from "./supervision.ts";

/** The steps about terminals and descriptors, by the moment at which they run. */
export interface TerminalPlan {
  /** In the executor, after its own steps about stdio and before the clone, which passes on what is open. */
  readonly beforeClone: readonly Step[];
  /**
   * In the child, when its root and all mounts are in place and before anything becomes read-only: /dev/console may have
   * to be made. Seccomp, capabilities and user come later, since opening a terminal and mounting need what they take away.
   */
  readonly inChild: readonly Step[];
}

/** Most descriptors that can be passed: the kernel's own default for a process. */
const passedLimit = 1024;

/** Largest terminal that the kernel can express (struct winsize). */
const sizeLimit = 65_535;

/**
 * Compiles what `process` needs of terminals and descriptors. `console` says whether the terminal becomes /dev/console as well,
 * which is for the container's first process alone.
 *
 * @throws CodedError `invalid-argument` when console socket and terminal do not go together, `invalid-spec` for a size
 * that no terminal has.
 */
export function compileTerminal(
  context: Context,
  process: ConfigProcess,
  { supervision, console = true }: { readonly supervision: Supervision; readonly console?: boolean },
): TerminalPlan {
  checkConsoleSocket(process.terminal === true, supervision);
  const passed = passDescriptors(supervision.descriptors ?? {});
  const hostUid = process.terminal === true ? undefined : mapUid(context, process.user?.uid ?? 0);
  const socket = supervision.kind === "foreground" ? undefined : supervision.consoleSocket;
  return {
    beforeClone: [
      ...passed,
      ...(hostUid === undefined || hostUid === context.facts.uid ? [] : [ownStdio(hostUid)]),
      ...(socket === undefined ? [] : [step({ op: "open-console", path: socket }, byDefault("the caller gets the container's terminal"))]),
    ],
    inChild: process.terminal === true ? [openTerminal(process, console)] : joinedOwner(context, process),
  };
}

/** The variables of socket activation, which count from the container's point of view. @see sd_listen_fds(3) */
export function listenVariables({ listening = 0 }: PassedDescriptors): readonly string[] {
  return listening === 0 ? [] : [`LISTEN_FDS=${listening}`, "LISTEN_PID=1"];
}

function checkConsoleSocket(hasTerminal: boolean, supervision: Supervision): void {
  const socket = supervision.kind === "foreground" ? undefined : supervision.consoleSocket;
  if (supervision.kind !== "foreground" && hasTerminal && socket === undefined) {
    throw new CodedError("invalid-argument", "cannot allocate tty if the runtime will detach without setting console socket");
  }
  if (socket !== undefined && !hasTerminal) {
    throw new CodedError("invalid-argument", "cannot use console socket if the runtime will not detach or allocate tty");
  }
}

function openTerminal({ consoleSize, user }: ConfigProcess, console: boolean): Step {
  const { width = 0, height = 0 } = consoleSize ?? {};
  for (const [name, value] of Object.entries({ width, height })) {
    if (value > sizeLimit) {
      const at = `/process/consoleSize/${name}`;
      throw new CodedError("invalid-spec", `cannot honour ${at}: a terminal has at most ${sizeLimit} rows and columns`, {
        details: { pointer: at },
      });
    }
  }
  return step({ op: "terminal", width, height, uid: user?.uid ?? 0, console: console ? 1 : 0 }, "/process/terminal");
}

function passDescriptors({ listening = 0, preserved = 0 }: PassedDescriptors): Step[] {
  const count = listening + preserved;
  if (!Number.isSafeInteger(count) || listening < 0 || preserved < 0 || count > passedLimit)
    throw new CodedError("invalid-argument", `cannot pass on ${count} descriptors: it must be from 0 to ${passedLimit}`);
  return count === 0 ? [] : [step({ op: "pass-descriptors", count }, byDefault("the caller passes descriptors on"))];
}

/**
 * By the executor, which may change owners that a user namespace does not know. What its own user has made needs no change.
 * Without this a container's user could write to standard output but not open /dev/stdout, which is opened anew.
 */
function ownStdio(uid: number): Step {
  return step({ op: "own-stdio", uid }, byDefault("the container's user may open /dev/stdout"));
}

/** In a user namespace that is joined, only whoever is inside knows its users. */
function joinedOwner({ linux }: Context, process: ConfigProcess): Step[] {
  return findNamespace(linux, "user") === undefined || isNewNamespace(linux, "user") ? [] : [ownStdio(process.user?.uid ?? 0)];
}

/** The host's uid of the container's `uid`; undefined when it has none or it cannot be known. */
function mapUid({ linux }: Context, uid: number): number | undefined {
  if (findNamespace(linux, "user") === undefined) return uid;
  if (!isNewNamespace(linux, "user")) return undefined;
  const mapping = (linux.uidMappings ?? []).find(({ containerID, size }: IdMapping) => uid >= containerID && uid < containerID + size);
  return mapping === undefined ? undefined : mapping.hostID + uid - mapping.containerID;
}
