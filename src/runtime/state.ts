/**
 * The state directory, read: which containers there are and what became of each.
 *
 * ROOT/ID holds what a container was made from (`container.json`) and files whose presence says where in its life it is.
 * @see runtime-spec runtime.md#state
 */
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import type { RuntimeConfig } from "#spec/runtime-config.ts";
import { isRunning, parseProcessStat } from "#sys/process.ts";
import { listSubdirectories, modifiedAt, ownerOf, pathExists, readOwnTextIfThere, readTextIfThere } from "#sys/small-files.ts";

/** The words of the specification, and runc's for a container whose processes are frozen. */
export type ContainerStatus = "creating" | "created" | "running" | "paused" | "stopped";

/** A container's state in the shape that `state` and `list --format json` print: the specification's, and what runc adds to it. */
export interface ContainerState {
  readonly ociVersion: string;
  readonly id: string;
  /** Its first process in our pid namespace; 0 when it has ended. */
  readonly pid: number;
  readonly status: ContainerStatus;
  /** Absolute host path. */
  readonly bundle: string;
  /** Absolute host path. */
  readonly rootfs: string;
  /** RFC 3339, UTC. */
  readonly created: string;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Name of the user whom the state directory belongs to; "#" and the user id where it has none. */
  readonly owner: string;
}

/** What is kept of a container for as long as it exists, as far as it is read here. */
export interface StoredContainer {
  readonly bundle: string;
  readonly rootfs: string;
  readonly config: RuntimeConfig;
  /** Its cgroup directories on the host; none when it has none of its own. */
  readonly cgroups: readonly string[];
  /** The file that freezes it and says whether it is frozen: `freezer.state` (v1) or `cgroup.freeze` (v2). */
  readonly freezer?: string;
}

/** A container that was found. */
export interface FoundState {
  readonly directory: string;
  readonly state: ContainerState;
  readonly stored: StoredContainer;
}

/** What the files of a state directory say. */
export interface LifeSigns {
  readonly isCreated: boolean;
  /** Whether the process waits to be started. */
  readonly waits: boolean;
  readonly isAlive: boolean;
  /** Content of the freezer's file. */
  readonly freezer?: string | undefined;
}

/** Where in its life a container is. */
export function statusOf({ isCreated, waits, isAlive, freezer }: LifeSigns): ContainerStatus {
  if (!isAlive) return "stopped";
  if (!isCreated) return "creating";
  if (isFrozen(freezer ?? "")) return "paused";
  return waits ? "created" : "running";
}

/** Whether the content of `freezer.state` or `cgroup.freeze` says that processes are held; one that is being frozen counts. */
export function isFrozen(content: string): boolean {
  return ["FROZEN", "FREEZING", "1"].includes(content.trim());
}

/** Parses `container.json`. @throws CodedError `corrupt` */
export function parseStored(text: string, path: string): StoredContainer {
  try {
    const stored = JSON.parse(text) as Partial<StoredContainer> | null;
    const { bundle, rootfs, config, cgroups } = stored ?? {};
    if (typeof bundle === "string" && typeof rootfs === "string" && typeof config === "object" && Array.isArray(cgroups))
      return stored as StoredContainer;
  } catch (cause) {
    throw new CodedError("corrupt", `cannot read ${path}: it is no JSON`, { cause });
  }
  throw new CodedError("corrupt", `cannot read ${path}: it is no record of a container`);
}

/** Finds the container `id`. @throws CodedError `not-found`, in words that engines look for, `permission-denied` when it is another user's */
export function readState(root: string, id: string): FoundState {
  const found = id.includes("/") || id === "" || id === "." || id === ".." ? undefined : findState(root, id, readOwnTextIfThere);
  if (found === undefined) throw new CodedError("not-found", `container ${JSON.stringify(id)} does not exist`);
  return found;
}

/** All containers below `root`, those of other users too, by id; what is no container (yet) is left out, and `warn` is told of what cannot be read. */
export function listStates(root: string, warn: (sentence: string) => void): FoundState[] {
  return listContainerIds(root).flatMap((id) => {
    try {
      return findState(root, id, readTextIfThere) ?? [];
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      warn(error.message);
      return [];
    }
  });
}

/** The ids of all containers below `root`, and perhaps names of directories that are none; none when there is no `root`. */
export function listContainerIds(root: string): string[] {
  return listSubdirectories(root).toSorted();
}

/** Whether the directory of all containers' state is there. */
export function isStateRoot(root: string): boolean {
  return pathExists(root);
}

/** SECURITY: what is done to a container goes by what its record names, such as the file that freezes it. */
function findState(root: string, id: string, read: typeof readTextIfThere): FoundState | undefined {
  const directory = join(root, id);
  const path = join(directory, "container.json");
  const text = read(path);
  if (text === undefined) return undefined;
  const stored = parseStored(text, path);
  const child = parseProcessStat(readTextIfThere(join(directory, "child")) ?? "");
  const isAlive = child !== undefined && isRunning(child);
  const createdAt = modifiedAt(join(directory, "created"));
  const status = statusOf({
    // Before there is a child, its container is being made.
    isAlive: isAlive || (child === undefined && createdAt === undefined),
    isCreated: createdAt !== undefined,
    waits: pathExists(join(directory, "start")),
    freezer: stored.freezer === undefined || !isAlive ? undefined : readTextIfThere(stored.freezer),
  });
  const { annotations } = stored.config;
  const state: ContainerState = {
    ociVersion: stored.config.ociVersion,
    id,
    pid: isAlive ? child.pid : 0,
    status,
    bundle: stored.bundle,
    rootfs: stored.rootfs,
    created: (createdAt ?? modifiedAt(path) ?? new Date(0)).toISOString(),
    ...(annotations === undefined || Object.keys(annotations).length === 0 ? {} : { annotations }),
    owner: nameOfUser(ownerOf(directory) ?? 0, readTextIfThere("/etc/passwd") ?? ""),
  };
  return { directory, state, stored };
}

/** The name of the user in the text of a passwd(5). */
export function nameOfUser(uid: number, passwd: string): string {
  const line = passwd.split("\n").find((entry) => entry.split(":")[2] === String(uid));
  return line?.split(":")[0] ?? `#${uid}`;
}
