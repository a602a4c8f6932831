/** What the compiler may ask about the user that it works for, who need not be root; answered when it asks. */
import { accessSync, constants, statSync } from "node:fs";
import type { Machine } from "./machine.ts";

/** The programs that map ids which a user has been given in /etc/subuid and /etc/subgid. @see newuidmap(1), newgidmap(1) */
export type IdHelper = "newuidmap" | "newgidmap";

/** Questions about the user. */
export interface UserFacts {
  /** Whether this process is in a user namespace: its root may not do what the host's may. */
  readonly isNested: () => boolean;
  /** Absolute host path of the helper; `undefined` when it is not installed. */
  readonly findIdHelper: (name: IdHelper) => string | undefined;
  /** Whether the file or directory (host path) may be written to; false when there is none. */
  readonly mayWrite: (hostPath: string) => boolean;
}

/** The answers of this machine. */
export function userFactsOf(machine: Machine): UserFacts {
  let nested: boolean | undefined;
  return { isNested: () => (nested ??= isNested(machine)), findIdHelper, mayWrite };
}

/** The answers that the host's root gets where no helper is installed. */
export const rootUserFacts: UserFacts = { isNested: () => false, findIdHelper: () => undefined, mayWrite: () => true };

/** Not the PATH of the environment: what maps ids must not be chosen by whoever set that. */
const helperDirectories = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/run/wrappers/bin"];

/** KERNEL: user_namespaces(7): the first namespace maps all 2^32 - 1 ids to themselves, as no other can that is made in it by a user. */
function isNested({ read }: Machine): boolean {
  // A kernel without user namespaces has no such file.
  const map = read("/proc/self/uid_map")?.trim().split(/\s+/).join(" ");
  return map !== undefined && map !== "0 0 4294967295";
}

function findIdHelper(name: IdHelper): string | undefined {
  return helperDirectories
    .map((directory) => `${directory}/${name}`)
    .find((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true);
}

function mayWrite(hostPath: string): boolean {
  try {
    accessSync(hostPath, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
