/**
 * The container's control groups: in which order they are made, and how they go away.
 *
 * KERNEL: kernel/cgroup/cgroup.c, cgroup_procs_write_start(): moving another process, or a whole process through cgroup.procs,
 * takes a lock that waits for an RCU grace period, about 10 ms and more than all the rest of a container's start. A thread that
 * moves itself ("0" to `tasks`) and a child that is born in its cgroup (CLONE_INTO_CGROUP) do not take it.
 *
 * Every mounted hierarchy is joined, whether it limits anything or not: statistics, freezing and finding
 * the container's processes need them later. Where they are is `place.ts`, limits are `v1-limits.ts` and `v2-limits.ts`.
 */
import type { Step } from "#program/encode.ts";
import { byDefault, step, type Context } from "../context.ts";
import { compileDirectories, compileOwnership, compileParentRemoval, enableControllers, requireUnused } from "./directories.ts";
import { cgroupDirectories, directoriesByController, isWithinReach, type CgroupDirectory } from "./place.ts";
import { compileScopeStart, compileUnitStop } from "./systemd.ts";
import { compileV1Devices, compileV1Limits } from "./v1-limits.ts";
import { compileV2Devices, compileV2Limits } from "./v2-limits.ts";

export { cgroupDirectories, type CgroupDirectory } from "./place.ts";

/** The steps about cgroups, by the moment at which they run. */
export interface CgroupPlan {
  readonly directories: readonly CgroupDirectory[];
  /** Before the clone: make and limit. */
  readonly prepare: readonly Step[];
  /** The v2 directory that the child is cloned into. */
  readonly cloneInto: string | undefined;
  /** In the executor after the clone, while the child waits: systemd puts processes into cgroups, and needs one to put. */
  readonly afterClone: readonly Step[];
  /** The child's first steps: it puts itself into the v1 directories. */
  readonly inChild: readonly Step[];
  /** At the end, or after a failure. */
  readonly cleanup: readonly Step[];
}

const nothing: CgroupPlan = { directories: [], prepare: [], cloneInto: undefined, afterClone: [], inChild: [], cleanup: [] };

/**
 * Compiles `linux.cgroupsPath` and `linux.resources`.
 * @throws CodedError `unsupported` when a limit has no controller here, `wrong-state` when the cgroup is in use,
 * `invalid-spec` when the path is none of systemd's
 */
export function compileCgroup(context: Context): CgroupPlan {
  if (context.cgroupManager === "disabled") return compileNone(context);
  if (!isAsked(context)) return nothing;
  return context.cgroupManager === "systemd" ? compileBySystemd(context) : compileByHand(context);
}

/** A container that asks for no limits needs no control groups where systemd would have to be asked. Device rules need root anyway. */
function isAsked({ linux, isPrivileged, isRootless, cgroupManager }: Context): boolean {
  if (isPrivileged || isRootless || cgroupManager === "systemd" || linux.cgroupsPath !== undefined) return true;
  const { devices: _, ...limits } = linux.resources ?? {};
  return Object.values(limits).some((limit) => Object.keys(limit ?? {}).length > 0);
}

function compileNone({ linux, warn }: Context): CgroupPlan {
  for (const [name, limits] of Object.entries(linux.resources ?? {})) {
    if (Object.keys(limits ?? {}).length > 0) warn(`ignored /linux/resources/${name}: control groups are switched off`);
  }
  return nothing;
}

function compileByHand(context: Context): CgroupPlan {
  const { linux } = context;
  const origin = linux.cgroupsPath === undefined ? byDefault("a container has control groups of its own") : "/linux/cgroupsPath";
  const directories = availableDirectories(context);
  requireUnused(context, directories);
  const unifiedPath = directories.find(({ hierarchy }) => hierarchy === undefined)?.path;
  return {
    directories,
    prepare: [
      ...compileDirectories(context, directories, origin),
      ...compileResources(context, directories),
      ...compileOwnership(context, unifiedPath),
    ],
    cloneInto: unifiedPath,
    afterClone: [],
    inChild: joinHierarchies(directories, origin),
    cleanup: [...directories.map(({ path }) => step({ op: "remove-cgroup", path }, origin)), ...compileParentRemoval(context, directories)],
  };
}

/**
 * Where cgroups may be made. A user has few places, such as a subtree that was delegated; without limits, a container can do without,
 * and limits are refused later, each by its name.
 */
function availableDirectories(context: Context): CgroupDirectory[] {
  const { linux, facts, isRootless, warn } = context;
  const wanted = cgroupDirectories(context);
  const available = isRootless ? wanted.filter((directory) => isWithinReach(directory, facts)) : wanted;
  if (wanted.length > 0 && available.length === 0 && linux.cgroupsPath !== undefined)
    warn("ignored /linux/cgroupsPath: this user may not make control groups there");
  return available;
}

/** The scope exists only with a process in it, so everything waits for the child; what systemd does not make or limit, we do. */
function compileBySystemd(context: Context): CgroupPlan {
  const { facts } = context;
  const origin = context.linux.cgroupsPath === undefined ? byDefault("a container has a unit of its own") : "/linux/cgroupsPath";
  const directories = cgroupDirectories(context);
  requireUnused(context, directories);
  const unifiedPath = directories.find(({ hierarchy }) => hierarchy === undefined)?.path;
  const isSystemds = ({ hierarchy }: CgroupDirectory): boolean =>
    hierarchy === undefined ? facts.cgroup.version === "v2" : hierarchy.name === "systemd";
  const ours = directories.filter((directory) => !isSystemds(directory));
  return {
    directories,
    prepare: [],
    cloneInto: undefined,
    afterClone: [
      ...compileScopeStart(context, origin),
      ...compileDirectories(context, ours, origin),
      ...(facts.cgroup.version === "v2" && unifiedPath !== undefined ? enableControllers(context, unifiedPath) : []),
      ...compileResources(context, directories),
      ...compileOwnership(context, unifiedPath),
      // KERNEL: a process moves itself only in v1; the v2 tree of a hybrid host is systemd's as well as it can be.
      ...(facts.cgroup.version === "hybrid" && unifiedPath !== undefined
        ? [step({ op: "child-pid", path: `${unifiedPath}/cgroup.procs`, create: 0 }, origin)]
        : []),
    ],
    inChild: joinHierarchies(ours, origin),
    cleanup: [...compileUnitStop(context, origin), ...directories.map(({ path }) => step({ op: "remove-cgroup", path }, origin))],
  };
}

function joinHierarchies(directories: readonly CgroupDirectory[], origin: string): Step[] {
  return directories
    .filter(({ hierarchy }) => hierarchy !== undefined)
    .map(({ path }) => step({ op: "write", path: `${path}/tasks`, data: "0", fsMagic: 0 }, origin));
}

function compileResources(context: Context, directories: readonly CgroupDirectory[]): Step[] {
  const { facts, warn } = context;
  const resources = context.linux.resources ?? {};
  const place = { facts, directories: directoriesByController(directories, facts) };
  if (facts.cgroup.version !== "v2") return [...compileV1Limits(resources, place, warn), ...compileV1Devices(context, place.directories)];
  const path = directories.find(({ hierarchy }) => hierarchy === undefined)?.path ?? "";
  return [...compileV2Limits(resources, place, warn), ...compileV2Devices(context, path)];
}
