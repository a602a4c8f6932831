/** Where a container's cgroups are: one directory in each hierarchy, below a path that the config gives or that follows from the id. */
import type { CgroupFacts, CgroupHierarchy, HostFacts } from "../../facts.ts";
import { joinPath, normalizePath, parentPath, type Context } from "../context.ts";
import { systemdUnit } from "./systemd-unit.ts";

/** One directory that the container's processes are put into. */
export interface CgroupDirectory {
  /** Absent for the v2 tree. */
  readonly hierarchy?: CgroupHierarchy;
  /** Absolute host path. */
  readonly path: string;
}

/** Where the container's cgroups are on this host: one directory in each hierarchy. @throws CodedError `invalid-spec` for a path that is none of systemd's */
export function cgroupDirectories(
  context: Pick<Context, "linux" | "facts" | "id"> & Partial<Pick<Context, "cgroupManager" | "isPrivileged">>,
): CgroupDirectory[] {
  const { linux, facts, id, cgroupManager = "cgroupfs", isPrivileged = true } = context;
  const { version, hierarchies, unified } = facts.cgroup;
  if (cgroupManager === "systemd") {
    const { path } = systemdUnit({ linux, facts, id, isPrivileged });
    const directories: CgroupDirectory[] = hierarchies.map((hierarchy) => ({ hierarchy, path: joinPath(hierarchy.mountPoint, path) }));
    return unified === undefined ? directories : [...directories, { path: joinPath(unified.mountPoint, path) }];
  }
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
 * Whether this process may make the cgroup and put a child into it.
 * KERNEL: cgroup-v2.rst, "Delegation Containment": whoever moves a process must be able to write to cgroup.procs of the directory that
 * contains both its old and its new cgroup. A process that moves itself in v1 needs the new one only.
 */
export function isWithinReach({ hierarchy, path }: CgroupDirectory, { cgroup, isDirectory, user }: HostFacts): boolean {
  let existing = path;
  while (existing !== "/" && isDirectory(existing) === undefined) existing = parentPath(existing);
  if (!user.mayWrite(existing)) return false;
  if (hierarchy !== undefined || cgroup.unified === undefined) return true;
  const { mountPoint, own } = cgroup.unified;
  return user.mayWrite(joinPath(commonParent(joinPath(mountPoint, own), existing), "cgroup.procs"));
}

function commonParent(a: string, b: string): string {
  let common = a;
  while (b !== common && common !== "/" && !b.startsWith(`${common}/`)) common = parentPath(common);
  return common;
}

/** The same directories, from their paths as a container's record has them. Paths below no mounted hierarchy are left out. */
export function placeDirectories(paths: readonly string[], cgroup: CgroupFacts): CgroupDirectory[] {
  const mounts = [
    ...cgroup.hierarchies.map((hierarchy) => ({ hierarchy, mountPoint: hierarchy.mountPoint })),
    ...(cgroup.unified === undefined ? [] : [{ mountPoint: cgroup.unified.mountPoint }]),
  ].toSorted((a, b) => b.mountPoint.length - a.mountPoint.length);
  return paths.flatMap((path): CgroupDirectory[] => {
    // The longest mount point first: on a hybrid host one lies below another's parent.
    const mount = mounts.find(({ mountPoint }) => path === mountPoint || path.startsWith(`${mountPoint}/`));
    if (mount === undefined) return [];
    return ["hierarchy" in mount ? { hierarchy: mount.hierarchy, path } : { path }];
  });
}

/** The directory of each controller among a container's cgroups. */
export function directoriesByController(directories: readonly CgroupDirectory[], facts: HostFacts): Map<string, string> {
  const unified = directories.find(({ hierarchy }) => hierarchy === undefined);
  const names = directories.flatMap(({ hierarchy, path }) => (hierarchy?.controllers ?? []).map((name) => [name, path] as const));
  const unifiedNames = facts.cgroup.version === "v2" && unified !== undefined ? (facts.cgroup.unified?.controllers ?? []) : [];
  return new Map([...names, ...unifiedNames.map((name) => [name, unified?.path ?? ""] as const)]);
}

/** The directories above `path` that lie below `top`, topmost first. */
export function ancestorsBelow(top: string, path: string): string[] {
  if (!path.startsWith(top === "/" ? "/" : `${top}/`)) return [];
  const above: string[] = [];
  for (let at = parentPath(path); at.length > top.length; at = parentPath(at)) above.unshift(at);
  return above;
}
