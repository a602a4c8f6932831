/**
 * What the compiler must know about this machine, and the reading of it: a few files of /proc, once a run.
 *
 * The facts are plain data (but for questions, which are asked only where a config needs the answer), so a program can be compiled for another machine.
 * Parsers are pure; only `readHostFacts` touches the kernel.
 */
import { accessSync, constants, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { CodedError } from "#base/errors.ts";
import { cgroupFilesOf, type CgroupFiles } from "./cgroup-facts.ts";
import { machine, type Machine } from "./machine.ts";
import { userFactsOf, type UserFacts } from "./user-facts.ts";

/** One mounted cgroup v1 hierarchy. */
export interface CgroupHierarchy {
  /** Controllers bound to it; empty for a named hierarchy. */
  readonly controllers: readonly string[];
  /** Name of a hierarchy without controllers, such as "systemd". */
  readonly name?: string;
  readonly mountPoint: string;
  /** This process's cgroup as a path below `mountPoint`, starting with "/". */
  readonly own: string;
}

/** The cgroup v2 tree. */
export interface UnifiedCgroup {
  readonly mountPoint: string;
  /** This process's cgroup as a path below `mountPoint`, starting with "/". */
  readonly own: string;
  /** Controllers of the topmost cgroup that is visible; empty when they are all bound to v1. */
  readonly controllers: readonly string[];
}

/** How cgroups are mounted here. `hybrid`: controllers on v1, and an empty v2 tree beside them. */
export interface CgroupFacts {
  readonly version: "none" | "v1" | "hybrid" | "v2";
  readonly hierarchies: readonly CgroupHierarchy[];
  readonly unified?: UnifiedCgroup;
}

/** What this process may do: masks with one bit per capability number. */
export interface CapabilityFacts {
  readonly effective: number;
  readonly bounding: number;
  /** The highest capability number that the kernel knows. */
  readonly last: number;
}

/** The CPUs and memory nodes of a cpuset cgroup, as lists such as "0-3". */
export interface Cpuset {
  readonly cpus: string;
  readonly mems: string;
}

/** Whether this kernel has AppArmor switched on, and whether this process is under a profile of it. */
export type AppArmorState = "off" | "unconfined" | "confined";

/** Facts about the host that a program depends on. */
export interface HostFacts {
  readonly uid: number;
  readonly gid: number;
  /** Node's word for the architecture, such as "x64". */
  readonly arch: string;
  /** Kernel release, such as "6.18.44-cloud". */
  readonly kernel: string;
  readonly capabilities: CapabilityFacts;
  /** Names of /proc/self/ns, such as "cgroup" and "time". */
  readonly namespaces: readonly string[];
  readonly cgroup: CgroupFacts;
  /** Every mount point of this mount namespace. */
  readonly mountPoints: readonly string[];
  /** Whether the host path is a directory (links followed); `undefined` when nothing is there. */
  readonly isDirectory: (hostPath: string) => boolean | undefined;
  /** What the symbolic link at the host path leads to, as it is written; `undefined` when there is no link. */
  readonly readLink: (hostPath: string) => string | undefined;
  /** The cpuset of the cgroup v1 directory; `undefined` when there is no such directory. */
  readonly findCpuset: (directory: string) => Cpuset | undefined;
  /** Questions about files of cgroups, and about systemd. */
  readonly cgroupFiles: CgroupFiles;
  /** Questions about this user. */
  readonly user: UserFacts;
  /** Whether setgroups() is denied in the user namespace at the path; false when that cannot be known. */
  readonly isSetgroupsDenied: (userNamespacePath: string) => boolean;
  readonly readAppArmor: () => AppArmorState;
  /** Whether SELinux is switched on, has a policy, and is ours to ask. */
  readonly isSelinuxEnabled: () => boolean;
  /** Where the resctrl file system is mounted. */
  readonly findResctrl: () => string | undefined;
  /** The `schemata` of the resctrl directory; `undefined` when there is no such directory. */
  readonly readSchemata: (directory: string) => string | undefined;
}

/** Reads the facts of this machine. `asked` answers what is asked later. @throws CodedError `unsupported` when /proc is not what Linux has. */
export function readHostFacts(asked: Machine = machine): HostFacts {
  const mounts = parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8"));
  const status = parseStatus(readFileSync("/proc/self/status", "latin1"));
  const cgroup = readCgroupFacts(mounts, readFileSync("/proc/self/cgroup", "utf8"));
  return {
    uid: status.uid,
    gid: status.gid,
    arch: process.arch,
    // As node:os has it, which would have to be loaded for this alone.
    kernel: readFileSync("/proc/sys/kernel/osrelease", "latin1").trim(),
    capabilities: {
      effective: status.effective,
      bounding: status.bounding,
      last: Number(readFileSync("/proc/sys/kernel/cap_last_cap", "latin1")),
    },
    namespaces: readdirSync("/proc/self/ns"),
    cgroup,
    mountPoints: mounts.map(({ mountPoint }) => mountPoint),
    readLink,
    isSelinuxEnabled: () => isSelinuxEnabled(mounts),
    findResctrl: () => mounts.find(({ type }) => type === "resctrl")?.mountPoint,
    ...answersOf(asked),
  };
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    // It is no link, or not there, which is found later.
    return undefined;
  }
}

/** The facts that are only asked for where a config needs them, but for those that need the list of mounts. */
export function answersOf(
  asked: Machine,
): Pick<HostFacts, "isDirectory" | "findCpuset" | "cgroupFiles" | "user" | "isSetgroupsDenied" | "readAppArmor" | "readSchemata"> {
  return {
    isDirectory: asked.isDirectory,
    findCpuset: (directory) => readCpuset(asked, directory),
    cgroupFiles: cgroupFilesOf(asked),
    user: userFactsOf(asked),
    isSetgroupsDenied: (path) => readSetgroups(asked, path),
    readAppArmor: () => readAppArmor(asked),
    readSchemata: (directory) => asked.read(`${directory}/schemata`),
  };
}

/** One line of /proc/self/mountinfo, as far as it is used. */
export interface MountinfoEntry {
  /** The kernel's number of the mount. */
  readonly id: number;
  /** Of the file system: "MAJOR:MINOR". */
  readonly device: string;
  /** The directory of the file system that is mounted. */
  readonly root: string;
  readonly mountPoint: string;
  readonly type: string;
  readonly superOptions: readonly string[];
}

/** Parses /proc/self/mountinfo; lines that are no mounts are skipped. @see proc_pid_mountinfo(5) */
export function parseMountinfo(content: string): MountinfoEntry[] {
  const entries: MountinfoEntry[] = [];
  for (const line of content.split("\n")) {
    const separator = line.indexOf(" - ");
    if (separator === -1) continue;
    const [id, , device, root, mountPoint] = line.slice(0, separator).split(" ");
    const [type, , superOptions] = line.slice(separator + 3).split(" ");
    if (device === undefined || root === undefined || mountPoint === undefined || type === undefined) continue;
    const place = { root: unescape(root), mountPoint: unescape(mountPoint) };
    entries.push({ id: Number(id), device, ...place, type, superOptions: (superOptions ?? "").split(",") });
  }
  return entries;
}

/** Joins the cgroup mounts with /proc/self/cgroup. @see cgroups(7) */
export function parseCgroups(mounts: readonly MountinfoEntry[], selfCgroup: string): CgroupFacts {
  const hierarchies: CgroupHierarchy[] = [];
  let unified: UnifiedCgroup | undefined;
  for (const line of selfCgroup.split("\n")) {
    // The path may hold colons itself.
    const first = line.indexOf(":");
    const second = line.indexOf(":", first + 1);
    if (second === -1) continue;
    const names = line.slice(first + 1, second);
    const path = line.slice(second + 1);
    const wanted = names.split(",");
    const isUnified = names === "";
    const mount = mounts.find(({ type, superOptions }) =>
      isUnified ? type === "cgroup2" : type === "cgroup" && wanted.every((name) => superOptions.includes(name)),
    );
    if (mount === undefined) continue;
    const place = { mountPoint: mount.mountPoint, own: belowRoot(path, mount.root) };
    const name = names.startsWith("name=") ? names.slice(5) : undefined;
    if (isUnified) unified = { ...place, controllers: [] };
    else if (name === undefined) hierarchies.push({ controllers: wanted, ...place });
    else hierarchies.push({ controllers: [], name, ...place });
  }
  // The order of /proc/self/cgroup is that of mounting; sorted, programs of one machine stay alike.
  hierarchies.sort((a, b) => (a.mountPoint < b.mountPoint ? -1 : 1));
  const hasControllers = hierarchies.some(({ controllers }) => controllers.length > 0);
  if (unified === undefined) return { version: hasControllers ? "v1" : "none", hierarchies };
  return hasControllers ? { version: "hybrid", hierarchies, unified } : { version: "v2", hierarchies: [], unified };
}

/** The ids and capability masks of /proc/self/status. @throws CodedError `unsupported` when a line is missing. */
export function parseStatus(content: string): { uid: number; gid: number; effective: number; bounding: number } {
  const field = (name: string): string => {
    const start = `\n${content}`.indexOf(`\n${name}:\t`);
    if (start === -1) throw new CodedError("unsupported", `cannot read /proc/self/status: it has no line ${name}`);
    return content.slice(start + name.length + 2, content.indexOf("\n", start));
  };
  // The second number of Uid and Gid is the effective id. Masks have 41 bits, so a number holds them.
  return {
    uid: Number(field("Uid").split("\t")[1]),
    gid: Number(field("Gid").split("\t")[1]),
    effective: Number(`0x${field("CapEff")}`),
    bounding: Number(`0x${field("CapBnd")}`),
  };
}

/** True when the kernel release is at least `major.minor`. */
export function isKernelAtLeast(release: string, major: number, minor: number): boolean {
  const [first = 0, second = 0] = release.split(/[.-]/).map(Number);
  return first > major || (first === major && second >= minor);
}

/** As parseCgroups, with the controllers of the v2 tree, which its own file tells. */
export function readCgroupFacts(mounts: readonly MountinfoEntry[], selfCgroup: string): CgroupFacts {
  const facts = parseCgroups(mounts, selfCgroup);
  if (facts.version !== "v2" || facts.unified === undefined) return facts;
  const list = machine.read(`${facts.unified.mountPoint}/cgroup.controllers`) ?? "";
  return { ...facts, unified: { ...facts.unified, controllers: list.split(/\s+/).filter((name) => name !== "") } };
}

function readCpuset({ read }: Machine, directory: string): Cpuset | undefined {
  const cpus = read(`${directory}/cpuset.cpus`);
  const mems = read(`${directory}/cpuset.mems`);
  return cpus === undefined || mems === undefined ? undefined : { cpus: cpus.trim(), mems: mems.trim() };
}

/** KERNEL: user_namespaces(7): only a process in the namespace tells, so a path other than /proc/PID/ns/user says nothing. */
function readSetgroups({ read }: Machine, userNamespacePath: string): boolean {
  const process = /^(\/proc\/[^/]+)\/ns\/user$/.exec(userNamespacePath)?.[1];
  return process !== undefined && read(`${process}/setgroups`)?.trim() === "deny";
}

/** @see apparmor(7) */
function readAppArmor({ read }: Machine): AppArmorState {
  if (read("/sys/module/apparmor/parameters/enabled")?.startsWith("Y") !== true) return "off";
  const profile = read("/proc/self/attr/apparmor/current")?.trim() ?? "unconfined";
  return profile === "unconfined" ? "unconfined" : "confined";
}

/**
 * KERNEL: before a policy is loaded every label is "kernel". A selinuxfs that is read-only says that SELinux is there, and is
 * not ours: hosts show it so to containers. @see is_selinux_enabled(3)
 */
function isSelinuxEnabled(mounts: readonly MountinfoEntry[]): boolean {
  const mount = mounts.find(({ type }) => type === "selinuxfs");
  if (mount === undefined) return false;
  try {
    accessSync(mount.mountPoint, constants.W_OK);
  } catch {
    return false;
  }
  const label = machine.read("/proc/self/attr/current")?.replace(/[\0\n]+$/, "");
  return label !== undefined && label !== "kernel";
}

/** `path` of a cgroup as seen below a mount of the cgroup `root`; "/" when it lies outside (a foreign cgroup namespace). */
function belowRoot(path: string, root: string): string {
  if (path.includes("/..")) return "/";
  if (root === "/") return path;
  if (path === root) return "/";
  return path.startsWith(`${root}/`) ? path.slice(root.length) : "/";
}

function unescape(field: string): string {
  return field.includes("\\") ? field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))) : field;
}
