/**
 * What a mount is made of before it is in its place: sources that the host's root opens, id maps, and file systems
 * that need more than one step.
 */
import type { Step } from "#program/encode.ts";
import type { IdMapping } from "#spec/runtime-config.ts";
import { findNamespace, isNewNamespace, namespacePointer, step, unsupported, type Context } from "./context.ts";
import { mountAttributes, propagationFlags as ms } from "./kernel.ts";
import type { MountOptions } from "./mount-options.ts";
import { changePropagation, filesystemOptions, type PlacedMount } from "./mount-steps.ts";

/** Flags of the op `attach`. */
const [onProc, withoutLinks] = [1, 2] as const;

/** Slots below are for the parent; the child uses this one, emptied again by the next `attach`. */
export const childSlot = 255;

/** Files of /proc that may be covered by a bind mount: those that lxcfs emulates. As runc's list. */
const emulated: ReadonlySet<string> = new Set(
  [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled",
  ].map((name) => `/proc/${name}`),
);

/** Hands out slots for what the executor opens before the clone, and collects the steps that do it. */
export class HostSide {
  readonly steps: Step[] = [];
  #used = 0;
  readonly #namespaces = new Map<string, number>();

  /** Opens the source of a bind mount; returns its slot. */
  open(context: Context, wish: { readonly path: string; readonly recursive: number; readonly origin: string }): number {
    const { path, recursive, origin } = wish;
    const slot = this.#take(origin);
    this.steps.push(step({ op: "open-source", slot, path, recursive, propagation: sourcePropagation(context) }, origin));
    return slot;
  }

  /** Maps the ids of the mount in `slot`. @throws CodedError `unsupported` when there is no map, or no right to one. */
  mapIds(context: Context, slot: number, placed: PlacedMount): void {
    const { options, origin } = placed;
    if (!context.isPrivileged) throw unsupported(`${origin}/options`, "id maps of mounts need root");
    const namespace = this.#namespace(context, placed);
    this.steps.push(step({ op: "id-map", slot, namespace, recursive: options.idMap === "recursive" ? 1 : 0 }, origin));
  }

  /** A mount that has mappings uses them; otherwise those of the container. @see runtime-spec config.md#linux-mount-options, idmap */
  #namespace({ linux }: Context, { mount, origin }: PlacedMount): number {
    const { uidMappings = [], gidMappings = [] } = mount;
    const path = findNamespace(linux, "user")?.path ?? "";
    if (uidMappings.length > 0 && gidMappings.length > 0) return this.#makeNamespace(uidMappings, gidMappings, origin);
    if (mount.uidMappings !== undefined) throw unsupported(`${origin}/uidMappings`, "a mount needs maps of both users and groups");
    if (path !== "") {
      return this.#keep(path, origin, (slot) => step({ op: "open-user-namespace", slot, path }, namespacePointer(linux, "user")));
    }
    if (isNewNamespace(linux, "user")) return this.#makeNamespace(linux.uidMappings ?? [], linux.gidMappings ?? [], origin);
    throw unsupported(`${origin}/options`, "an id map needs mappings: the mount has none, and the container has no user namespace");
  }

  #makeNamespace(uids: readonly IdMapping[], gids: readonly IdMapping[], origin: string): number {
    const [uidMap, gidMap] = [mapText(uids), mapText(gids)];
    return this.#keep(`${uidMap} ${gidMap}`, origin, (slot) => step({ op: "user-namespace", slot, uidMap, gidMap }, origin));
  }

  /** One namespace for all mounts with the same maps. */
  #keep(key: string, origin: string, make: (slot: number) => Step): number {
    const known = this.#namespaces.get(key);
    if (known !== undefined) return known;
    const slot = this.#take(origin);
    this.#namespaces.set(key, slot);
    this.steps.push(make(slot));
    return slot;
  }

  #take(origin: string): number {
    if (this.#used === childSlot) throw unsupported(origin, `at most ${childSlot} mounts can be opened beforehand`);
    return this.#used++;
  }
}

/** Moves the mount in `slot` to its place. */
export function attachStep(slot: number, { target, origin }: Pick<PlacedMount, "target" | "origin">): Step {
  return step({ op: "attach", slot, target, flags: isProcAllowed(target) ? onProc : 0 }, origin);
}

/**
 * Changes the mount in `slot` as its options say, before it has a place. SECURITY: once it is at a target in a volume, whoever shares
 * that volume can swap the target, and another mount would become read-only.
 */
export function changeSlot(slot: number, { options, origin }: Pick<PlacedMount, "options" | "origin">): Step[] {
  const wishes = [
    { ...options.attributes, recursive: 0 },
    { ...options.recursiveAttributes, recursive: 1 },
  ];
  return wishes
    .filter(({ set, clear }) => (set | clear) !== 0)
    .map(({ set, clear, recursive }) => step({ op: "slot-attributes", slot, set, clear, recursive }, origin));
}

/** Whether a bind mount may cover what the container's /proc has at `target`. */
export function isProcAllowed(target: string): boolean {
  return target === "/proc" || emulated.has(target);
}

/** A file system that needs more than the op `mount`; `undefined` when that is enough. */
export function compileSpecialFilesystem(context: Context, placed: PlacedMount, options: MountOptions): Step[] | undefined {
  const { mount, target, origin } = placed;
  const fstype = mount.type ?? "";
  const source = mount.source ?? fstype;
  const otherwise = otherwiseFor(context, fstype, options);
  const hasOwnMode = options.data.some((option) => option.startsWith("mode="));
  const isProcOrSys = fstype === "proc" || fstype === "sysfs";
  const isInheriting = fstype === "tmpfs" && !hasOwnMode;
  if (!isProcOrSys && otherwise === "" && !options.isCopiedUp && !isInheriting) return undefined;
  const hasOwnAttributes = hasOwnMode || options.data.some((option) => /^[ug]id=/.test(option));
  const flags = isProcOrSys ? withoutLinks | (fstype === "proc" && target === "/proc" ? onProc : 0) : 0;
  const slot = childSlot;
  const made = filesystemOptions({ fstype, source, options, kernel: context.facts.kernel, origin });
  const directory = step({ op: "ensure-directory", path: target, mode: 0o755 }, origin);
  return [
    step({ op: "new-filesystem", slot, fstype, source, ...made, otherwise }, origin),
    // As other runtimes do: a tmpfs over a directory of the image has its mode, unless told otherwise.
    ...(isInheriting && !options.isCopiedUp ? [step({ op: "copy-mode", slot, path: target }, origin)] : []),
    directory,
    ...(options.isCopiedUp ? [step({ op: "copy-up", slot, path: target, itself: hasOwnAttributes ? 0 : 1 }, origin)] : []),
    step({ op: "attach", slot, target, flags }, origin),
    ...changePropagation({ options, target, origin }),
  ];
}

/**
 * What to bind where a user namespace may not make the file system itself, because what it shows is not its own.
 * KERNEL: sysfs belongs to the owner of the network namespace, mqueue to that of the IPC namespace. Both show what the container
 * shares with the host anyway. As crun, /sys only when it is to be read-only.
 */
function otherwiseFor({ linux, hasUserNamespace }: Context, fstype: string, options: MountOptions): string {
  if (!hasUserNamespace) return "";
  const isReadOnly = ((options.attributes.set | options.recursiveAttributes.set) & mountAttributes.readOnly) !== 0;
  if (fstype === "sysfs" && isReadOnly && !isNewNamespace(linux, "network")) return "/sys";
  return fstype === "mqueue" && !isNewNamespace(linux, "ipc") ? "/dev/mqueue" : "";
}

/** A clone made on the host is a peer of its source: what is mounted in it later must not appear there. */
function sourcePropagation({ linux, hasUserNamespace }: Context): number {
  const kind = (linux.rootfsPropagation ?? "").replace(/^r/, "");
  if (kind === "private" || kind === "unbindable") return ms.private;
  return kind === "shared" && !hasUserNamespace ? 0 : ms.slave;
}

function mapText(mappings: readonly IdMapping[]): string {
  return mappings.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");
}
