/** How cgroups are made: parents first, CPUs for the cpusets of v1, controllers handed down in v2, and an owner where one is due. */
import { CodedError } from "#base/errors.ts";
import type { Step } from "#program/encode.ts";
import type { IdMapping, LinuxConfig } from "#spec/runtime-config.ts";
import { byDefault, isNewNamespace, joinPath, normalizePath, parentPath, step, type Context } from "../context.ts";
import { ancestorsBelow, type CgroupDirectory } from "./place.ts";
import { neededControllers } from "./v2-limits.ts";

/** Makes a container's directories. `origin` is who asks for them. */
export function compileDirectories(context: Context, directories: readonly CgroupDirectory[], origin: string): Step[] {
  return directories.flatMap(({ hierarchy, path }) => {
    if (hierarchy?.controllers.includes("cpuset") === true) return [step({ op: "make-cpuset", top: hierarchy.mountPoint, path }, origin)];
    const make = step({ op: "make-cgroup", path }, origin);
    return hierarchy === undefined && context.facts.cgroup.version === "v2" ? [make, ...enableControllers(context, path)] : [make];
  });
}

/** Removes the parents that containers' programs have made, this one's or others', deepest first; others may use them by then. */
export function compileParentRemoval({ linux, facts }: Context, directories: readonly CgroupDirectory[]): Step[] {
  const origin = byDefault("a parent that was made for containers goes with the last of them");
  return directories.flatMap(({ hierarchy, path }) => {
    const top = hierarchy?.mountPoint ?? facts.cgroup.unified?.mountPoint ?? "/";
    const named = namedAncestors(linux, top, path);
    return named.toReversed().map((directory) => step({ op: "remove-empty-cgroup", path: directory }, origin));
  });
}

/** The parents that `cgroupsPath` names, topmost first: above them is the cgroup that we are in. */
function namedAncestors({ cgroupsPath = "" }: LinuxConfig, top: string, path: string): string[] {
  const depth = normalizePath(cgroupsPath).split("/").length - 1;
  return depth < 2 ? [] : ancestorsBelow(top, path).slice(1 - depth);
}

/**
 * Refuses a cgroup that is there and in use: its limits would be those of two, and the end of one the end of both.
 * @throws CodedError `wrong-state`
 */
export function requireUnused({ facts, linux }: Context, directories: readonly CgroupDirectory[]): void {
  // A cgroup is in all hierarchies or in none, so most often one question is enough.
  const there = directories.filter(({ path }) => facts.isDirectory(path) === true);
  const at = linux.cgroupsPath === undefined ? "" : " (/linux/cgroupsPath)";
  for (const { path } of there) {
    const processes = (facts.cgroupFiles.read(`${path}/cgroup.procs`) ?? "").split("\n").filter((line) => line !== "").length;
    if (processes > 0) {
      throw new CodedError("wrong-state", `cannot use the cgroup ${path}: it has ${processes} process${processes === 1 ? "" : "es"}${at}`);
    }
    if (isFrozen(facts.cgroupFiles.read, path)) throw new CodedError("wrong-state", `cannot use the cgroup ${path}: it is frozen${at}`);
  }
}

/** Whether the cgroup at `path`, of either version, is frozen or about to be. */
export function isFrozen(read: (path: string) => string | undefined, path: string): boolean {
  const state = read(`${path}/freezer.state`)?.trim();
  return state === "FROZEN" || state === "FREEZING" || read(`${path}/cgroup.freeze`)?.trim() === "1";
}

/**
 * Hands controllers down from the top to the parent of `path`: those that limits need, or it is a failure; the others, which
 * statistics are of, where that is possible. What is handed down already is left alone. @see cgroup-v2.rst, cgroup.subtree_control
 */
export function enableControllers({ facts, linux, isPrivileged }: Context, path: string): Step[] {
  const { unified } = facts.cgroup;
  if (unified === undefined) return [];
  // Without privileges only what was delegated to us, our parent's subtree, is ours to change.
  const top = isPrivileged ? unified.mountPoint : joinPath(unified.mountPoint, parentPath(unified.own));
  const listed = isPrivileged ? undefined : facts.cgroupFiles.read(`${top}/cgroup.controllers`);
  const available = listed?.split(/\s+/).filter((name) => name !== "") ?? unified.controllers;
  if (available.length === 0 || !path.startsWith(top === "/" ? "/" : `${top}/`)) return [];
  const needed = neededControllers(linux.resources ?? {});
  const isReachable = facts.isDirectory(parentPath(path)) === true;
  const mayGo = new Set(namedAncestors(linux, unified.mountPoint, path));
  const list = (names: readonly string[]): string => names.map((name) => `+${name}`).join(" ");
  const counted = byDefault("what a parent hands down is also counted for the container");
  return [top, ...ancestorsBelow(top, path)].flatMap((directory) => {
    const present = facts.cgroupFiles.read(`${directory}/cgroup.subtree_control`);
    const enabled = new Set((present ?? "").trim().split(" "));
    const missing = available.filter((name) => !enabled.has(name));
    const file = `${directory}/cgroup.subtree_control`;
    if (missing.length === 0 && (present !== undefined || isReachable)) {
      // Until the program runs, it may have gone with its last container; then the program makes it anew.
      return mayGo.has(directory) ? [step({ op: "write-first", paths: [file], data: [list(available)], tolerant: 2 }, counted)] : [];
    }
    const [required, wished] = [missing.filter((name) => needed.has(name)), missing.filter((name) => !needed.has(name))];
    return [
      ...(required.length === 0
        ? []
        : [
            step(
              { op: "write", path: file, data: list(required), fsMagic: 0 },
              byDefault("a cgroup can limit only what its parent hands down"),
            ),
          ]),
      ...(wished.length === 0 ? [] : [step({ op: "write-first", paths: [file], data: [list(wished)], tolerant: 2 }, counted)]),
    ];
  });
}

/** What a container may own when the kernel does not say. @see runtime-spec config-linux.md#cgroup-ownership */
const delegatedFiles = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"];

/**
 * Gives the v2 cgroup to the container's user when it has a cgroup namespace and a writable mount of it: then it may
 * make cgroups of its own. The files of limits stay the host's. @see runtime-spec config-linux.md#cgroup-ownership
 */
export function compileOwnership(context: Context, path: string | undefined): Step[] {
  const { facts, linux, config, hasUserNamespace } = context;
  if (path === undefined || facts.cgroup.version !== "v2" || !hasUserNamespace || !isNewNamespace(linux, "cgroup")) return [];
  const index = (config.mounts ?? []).findIndex(
    ({ type, source, destination, options = [] }) =>
      (source === "cgroup" || type === "cgroup" || type === "cgroup2") && destination === "/sys/fs/cgroup" && !options.includes("ro"),
  );
  const uid = hostId(linux.uidMappings ?? [], config.process?.user?.uid ?? 0);
  if (index === -1 || uid === undefined) return [];
  const listed = facts.cgroupFiles
    .read("/sys/kernel/cgroup/delegate")
    ?.split("\n")
    .filter((name) => /^[a-z_.]+$/.test(name));
  const origin = `/mounts/${index}`;
  return [path, ...(listed ?? delegatedFiles).map((name) => `${path}/${name}`)].map((file) =>
    step({ op: "change-owner", path: file, uid, gid: keepOwner }, origin),
  );
}

/** The id that chown() leaves as it is. */
const keepOwner = 0xffffffff;

function hostId(mappings: readonly IdMapping[], id: number): number | undefined {
  const found = mappings.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return found === undefined ? undefined : found.hostID + (id - found.containerID);
}
