/**
 * Namespaces: which are made by the clone, which are joined, by whom and in which order.
 *
 * A process keeps the rights to join a namespace only as long as it is in the user namespace that owns it or above,
 * and a pid namespace is entered only by a clone. So with a user namespace, and for pid always, the executor
 * itself joins before it clones; all else the child joins. @see namespaces(7), user_namespaces(7), setns(2)
 */
import type { Step } from "#program/encode.ts";
import type { IdMapping, NamespaceKind } from "#spec/runtime-config.ts";
import { pointerTo } from "#spec/shape.ts";
import { isKernelAtLeast } from "../facts.ts";
import type { IdHelper } from "../user-facts.ts";
import { byDefault, findNamespace, hasCapability, isNewNamespace, namespacePointer, step, unsupported, type Context } from "./context.ts";
import { cloneFlags, procSuperMagic } from "./kernel.ts";

/** The steps about namespaces, by the moment at which they run. */
export interface NamespacePlan {
  /** In the executor, just before the clone. */
  readonly beforeClone: readonly Step[];
  readonly clone: Step;
  /** In the executor, while the child waits: the maps of its user namespace. */
  readonly mappings: readonly Step[];
  /** In the child, as soon as it is in its cgroups. */
  readonly inChild: readonly Step[];
}

/** The order in which namespaces are joined; mount is last, since the paths of the others lie in the present one. */
const joinOrder: readonly NamespaceKind[] = ["ipc", "uts", "network", "cgroup", "time", "pid", "mount"];

/** Names of the namespaces in /proc/self/ns. */
const procNames: Readonly<Record<NamespaceKind, string>> = {
  pid: "pid",
  network: "net",
  mount: "mnt",
  ipc: "ipc",
  uts: "uts",
  user: "user",
  cgroup: "cgroup",
  time: "time",
};

/** Compiles `linux.namespaces`, the id mappings and the time offsets. @throws CodedError `unsupported` for a kind that this kernel has not. */
export function compileNamespaces(context: Context, child: { readonly section: number; readonly cgroup: string }): NamespacePlan {
  const { linux, facts } = context;
  for (const [index, { type }] of (linux.namespaces ?? []).entries()) {
    if (!facts.namespaces.includes(procNames[type]))
      throw unsupported(`/linux/namespaces/${index}`, `this kernel has no ${type} namespaces`);
  }
  const flags = (linux.namespaces ?? [])
    .filter(({ type }) => isMadeByClone(context, type))
    .reduce((bits, { type }) => bits + cloneFlags[type], 0);
  return {
    beforeClone: [...joins(context, "executor"), ...(isTimeMadeEarly(context) ? timeOffsets(context) : [])],
    clone: step(
      { op: "clone", section: child.section, flags, cgroup: child.cgroup },
      linux.namespaces === undefined ? byDefault("the container is a process") : "/linux/namespaces",
    ),
    mappings: isNewNamespace(linux, "user") ? compileMappings(context) : [],
    inChild: [
      ...(hasTimeOffsets(context) && !isTimeMadeEarly(context) ? timeOffsets(context) : []),
      ...joins(context, "child"),
      ...(isNewNamespace(linux, "cgroup")
        ? // KERNEL: cgroup_namespaces(7): the cgroup that the process is in becomes the root it sees.
          [step({ op: "unshare", flags: cloneFlags.cgroup }, namespacePointer(linux, "cgroup"))]
        : []),
      // KERNEL: a new network namespace has a loopback interface, and it is down; programs expect 127.0.0.1 to work.
      ...(isNewNamespace(linux, "network") ? [step({ op: "link-up", name: "lo" }, namespacePointer(linux, "network"))] : []),
    ],
  };
}

/** A cgroup namespace is made later, when the child is in its cgroup; a time namespace with offsets is made by unshare. */
function isMadeByClone(context: Context, kind: NamespaceKind): boolean {
  if (!isNewNamespace(context.linux, kind) || kind === "cgroup") return false;
  return kind !== "time" || !hasTimeOffsets(context);
}

function joins(context: Context, who: "executor" | "child"): Step[] {
  const { linux, isPrivileged, hasUserNamespace } = context;
  const join = (kind: NamespaceKind): Step[] => {
    const path = findNamespace(linux, kind)?.path ?? "";
    return path === "" ? [] : [step({ op: "setns", path, flags: cloneFlags[kind] }, namespacePointer(linux, kind))];
  };
  const isExecutors = (kind: NamespaceKind): boolean => kind === "pid" || (kind !== "mount" && hasUserNamespace && isPrivileged);
  const others = joinOrder.filter((kind) => isExecutors(kind) === (who === "executor")).flatMap(join);
  if (who === "child") return others;
  // With privileges, the others are joined while we have them; without, only the user namespace gives the right to join.
  return isPrivileged ? [...others, ...join("user")] : [...join("user"), ...others];
}

/**
 * In a user namespace a child first is nobody; files that it makes need an owner that exists there. Until then, though, it can reach
 * what only the host's root can, such as a root file system below a directory of mode 0700.
 */
export function becomeRoot({ linux, hasUserNamespace, config }: Context): Step[] {
  if (!hasUserNamespace) return [];
  const ids = (mappings: readonly IdMapping[] | undefined, otherwise: number): number =>
    (mappings ?? []).length === 0 || isMapped(mappings, 0) ? 0 : otherwise;
  const { uid = 0, gid = 0 } = config.process?.user ?? {};
  const origin = namespacePointer(linux, "user");
  return [step({ op: "gid", gid: ids(linux.gidMappings, gid) }, origin), step({ op: "uid", uid: ids(linux.uidMappings, uid) }, origin)];
}

/** Whether `mappings` give the container's `id` an id on the host. */
export function isMapped(mappings: readonly IdMapping[] | undefined, id: number): boolean {
  return (mappings ?? []).some(({ containerID, size }) => id >= containerID && id < containerID + size);
}

/** Whether setgroups() stays forbidden in the container's user namespace. */
export function isSetgroupsDenied({ linux, facts }: Context): boolean {
  if (isNewNamespace(linux, "user"))
    return !hasCapability(facts.capabilities.effective, "CAP_SETGID") && isOwnAlone(linux.gidMappings, facts.gid);
  const path = findNamespace(linux, "user")?.path ?? "";
  return path !== "" && facts.isSetgroupsDenied(path);
}

function compileMappings(context: Context): Step[] {
  const { linux, facts } = context;
  const { effective } = facts.capabilities;
  const steps: Step[] = [];
  for (const [key, file, capability, own] of [
    ["uidMappings", "uid_map", "CAP_SETUID", facts.uid],
    ["gidMappings", "gid_map", "CAP_SETGID", facts.gid],
  ] as const) {
    const mappings = linux[key] ?? [];
    const at = `/linux/${key}`;
    if (!hasCapability(effective, capability) && !isOwnAlone(mappings, own)) {
      steps.push(mapByHelper(context, key === "uidMappings" ? "newuidmap" : "newgidmap", mappings));
      continue;
    }
    if (key === "gidMappings" && isSetgroupsDenied(context)) {
      // KERNEL: user_namespaces(7): without CAP_SETGID the map is accepted only after setgroups is denied (CVE-2014-8989).
      steps.push(
        step({ op: "child-file", file: "setgroups", data: "deny" }, byDefault("a user may map its group only after giving setgroups up")),
      );
    }
    const data = mappings.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");
    steps.push(step({ op: "child-file", file, data }, at));
  }
  return steps;
}

/** KERNEL: user_namespaces(7): what everybody may map. */
function isOwnAlone(mappings: readonly IdMapping[] = [], own: number): boolean {
  const [first] = mappings;
  return mappings.length === 1 && first?.size === 1 && first.hostID === own;
}

/** What else a user may map is said in /etc/subuid and /etc/subgid, and done by programs that read them. */
function mapByHelper({ facts }: Context, helper: IdHelper, mappings: readonly IdMapping[]): Step {
  const at = helper === "newuidmap" ? "/linux/uidMappings" : "/linux/gidMappings";
  const program = facts.user.findIdHelper(helper);
  if (program === undefined)
    throw unsupported(at, `without root, only one id, one's own, can be mapped; others need ${helper}, which is not installed`);
  const ids = mappings.flatMap(({ containerID, hostID, size }) => [containerID, hostID, size].map(String));
  return step({ op: "map-ids", program, ids }, at);
}

function hasTimeOffsets({ linux }: Context): boolean {
  return isNewNamespace(linux, "time") && Object.keys(linux.timeOffsets ?? {}).length > 0;
}

/** Without a user namespace of its own, the executor makes the time namespace, and the clone enters it. */
function isTimeMadeEarly(context: Context): boolean {
  return hasTimeOffsets(context) && !context.hasUserNamespace;
}

/**
 * KERNEL: time_namespaces(7): offsets can be set only while nobody is in the namespace, so it is made by unshare,
 * which enters only children; since 6.1 an exec enters it too, which a child in its user namespace needs.
 */
function timeOffsets(context: Context): Step[] {
  const { linux, facts } = context;
  if (context.hasUserNamespace && !isKernelAtLeast(facts.kernel, 6, 1)) {
    throw unsupported("/linux/timeOffsets", `with a user namespace they need Linux 6.1, and this is ${facts.kernel}`);
  }
  const steps = [step({ op: "unshare", flags: cloneFlags.time }, namespacePointer(linux, "time"))];
  for (const [clock, { secs = 0, nanosecs = 0 }] of Object.entries(linux.timeOffsets ?? {})) {
    const data = `${clock} ${BigInt(secs)} ${nanosecs}\n`;
    steps.push(
      step({ op: "write", path: "/proc/self/timens_offsets", data, fsMagic: procSuperMagic }, pointerTo("/linux/timeOffsets", clock)),
    );
  }
  return steps;
}
