/**
 * The container's control groups: where they are, in which order they are made, and how they go away.
 *
 * KERNEL: kernel/cgroup/cgroup.c, cgroup_procs_write_start(): moving another process, or a whole process through cgroup.procs,
 * takes a lock that waits for an RCU grace period, about 10 ms and more than all the rest of a container's start. A thread that
 * moves itself ("0" to `tasks`) and a child that is born in its cgroup (CLONE_INTO_CGROUP) do not take it.
 *
 * Every mounted hierarchy is joined, whether it limits anything or not: statistics, freezing and finding
 * the container's processes need them later. Limits are `limits.ts`.
 */
import type { Step } from "#program/encode.ts";
import type { CgroupHierarchy, Cpuset } from "../../facts.ts";
import { compileUnifiedLimits, compileV1Limits } from "./limits.ts";
import { byDefault, joinPath, normalizePath, parentPath, step, type Context } from "../context.ts";

/** One directory that the container's processes are put into. */
export interface CgroupDirectory {
  /** Absent for the v2 tree. */
  readonly hierarchy?: CgroupHierarchy;
  /** Absolute host path. */
  readonly path: string;
}

/** The steps about cgroups, by the moment at which they run. */
export interface CgroupPlan {
  readonly directories: readonly CgroupDirectory[];
  /** Before the clone: make and limit. */
  readonly prepare: readonly Step[];
  /** The v2 directory that the child is cloned into. */
  readonly cloneInto: string | undefined;
  /** The child's first steps: it puts itself into the v1 directories. */
  readonly inChild: readonly Step[];
  /** At the end, or after a failure. */
  readonly cleanup: readonly Step[];
}

const nothing: CgroupPlan = { directories: [], prepare: [], cloneInto: undefined, inChild: [], cleanup: [] };

/** Compiles `linux.cgroupsPath` and `linux.resources`. @throws CodedError `unsupported` when a limit has no controller here. */
export function compileCgroup(context: Context): CgroupPlan {
  const { linux, facts, isPrivileged } = context;
  const isAsked = linux.cgroupsPath !== undefined || Object.keys(linux.resources ?? {}).length > 0;
  // Without privileges nothing may be made in most trees, and a container that asks for no limits needs none.
  if (!isAsked && !isPrivileged) return nothing;
  const origin = linux.cgroupsPath === undefined ? byDefault("a container has control groups of its own") : "/linux/cgroupsPath";
  const directories = cgroupDirectories(context);
  const prepare: Step[] = [];
  for (const { hierarchy, path } of directories) {
    const isCpuset = hierarchy?.controllers.includes("cpuset") === true;
    prepare.push(...(isCpuset ? prepareCpuset(context, hierarchy, path) : [step({ op: "make-cgroup", path }, origin)]));
    if (hierarchy === undefined && facts.cgroup.version === "v2") prepare.push(...enableControllers(context, path));
  }
  const byController = new Map(
    directories.flatMap(({ hierarchy, path }) => (hierarchy?.controllers ?? []).map((name) => [name, path] as const)),
  );
  const unifiedPath = directories.find(({ hierarchy }) => hierarchy === undefined)?.path;
  prepare.push(
    ...(facts.cgroup.version === "v2" ? compileUnifiedLimits(context, unifiedPath ?? "") : compileV1Limits(context, byController)),
  );
  return {
    directories,
    prepare,
    cloneInto: unifiedPath,
    inChild: directories
      .filter(({ hierarchy }) => hierarchy !== undefined)
      .map(({ path }) => step({ op: "write", path: `${path}/tasks`, data: "0", fsMagic: 0 }, origin)),
    cleanup: directories.map(({ path }) => step({ op: "remove-cgroup", path }, origin)),
  };
}

/** Where the container's cgroups are on this host: one directory in each hierarchy. */
export function cgroupDirectories({ linux, facts, id }: Pick<Context, "linux" | "facts" | "id">): CgroupDirectory[] {
  const { version, hierarchies, unified } = facts.cgroup;
  const asked = linux.cgroupsPath ?? "";
  // SECURITY: ".." must not lead out of the container's part of the tree.
  const inner = normalizePath(asked === "" ? id : asked);
  const isAbsolute = asked.startsWith("/");
  const directories: CgroupDirectory[] = hierarchies.map((hierarchy) => ({
    hierarchy,
    path: joinPath(isAbsolute ? hierarchy.mountPoint : hierarchy.mountPoint + hierarchy.own, inner),
  }));
  if (unified !== undefined) {
    // KERNEL: cgroup-v2.rst, "no internal processes": our own v2 cgroup has processes, so controllers
    // cannot be given to cgroups in it; its parent's can. A hybrid's tree has no controllers to give.
    const own = version === "v2" ? parentPath(unified.own) : unified.own;
    directories.push({ path: joinPath(isAbsolute ? unified.mountPoint : unified.mountPoint + own, inner) });
  }
  return directories;
}

/**
 * Gives every cpuset cgroup on the way to `path` CPUs and memory nodes.
 *
 * KERNEL: cgroup-v1/cpusets.rst: a new cpuset is empty, and no process can enter an empty one (ENOSPC); values
 * must be within the parent's, so they are written from the top down.
 */
function prepareCpuset({ facts }: Context, hierarchy: CgroupHierarchy, path: string): Step[] {
  const steps: Step[] = [];
  const top = hierarchy.mountPoint;
  let inherited: Cpuset = facts.findCpuset(top) ?? { cpus: "0", mems: "0" };
  let directory = top;
  for (const component of path.slice(top.length).split("/").slice(1)) {
    directory = joinPath(directory, component);
    const present = facts.findCpuset(directory);
    if (present !== undefined && present.cpus !== "" && present.mems !== "") {
      inherited = present;
      continue;
    }
    const origin = byDefault("a new cpuset is empty and takes no process");
    steps.push(
      step({ op: "make-cgroup", path: directory }, origin),
      step({ op: "write", path: `${directory}/cpuset.cpus`, data: inherited.cpus, fsMagic: 0 }, origin),
      step({ op: "write", path: `${directory}/cpuset.mems`, data: inherited.mems, fsMagic: 0 }, origin),
    );
  }
  return steps;
}

/** Hands the controllers down from the top to the parent of `path`. @see cgroup-v2.rst, cgroup.subtree_control */
function enableControllers({ facts, isPrivileged }: Context, path: string): Step[] {
  const { unified } = facts.cgroup;
  if (unified === undefined || unified.controllers.length === 0) return [];
  // Without privileges only what was delegated to us, our parent's subtree, is ours to change.
  const top = isPrivileged ? unified.mountPoint : joinPath(unified.mountPoint, parentPath(unified.own));
  if (path !== top && !path.startsWith(top === "/" ? "/" : `${top}/`)) return [];
  const data = unified.controllers.map((name) => `+${name}`).join(" ");
  const steps: Step[] = [];
  let directory = top;
  for (const component of path.slice(top.length).split("/").slice(1)) {
    steps.push(
      step(
        { op: "write", path: `${directory}/cgroup.subtree_control`, data, fsMagic: 0 },
        byDefault("a cgroup can limit only what its parent hands down"),
      ),
    );
    directory = joinPath(directory, component);
  }
  return steps;
}
