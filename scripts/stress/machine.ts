/**
 * What containers could leave on a machine, measured before and after. Others work on it meanwhile, so what has a name is
 * ours only when it bears our mark; what the kernel merely counts is compared with how many containers there were.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** By what our things are known. */
export interface Mark {
  /** A word in the environment of every process that we start, containers included, and in the names of their cgroups. */
  readonly token: string;
  /** Everything that we make is below it: bundles, state roots, temporary files. */
  readonly directory: string;
}

/** Things of ours, by kind, and numbers of the kernel. */
export interface Measures {
  readonly named: Readonly<Record<string, readonly string[]>>;
  readonly counted: Readonly<Record<string, number>>;
}

/** Objects of the kernel that a container needs at least one of. */
const caches = ["net_namespace", "pid_namespace", "uts_namespace", "nsproxy", "mnt_cache", "task_struct", "pid", "user_namespace"];

/** Measures the machine. `kept` tells files below the directory that are meant to stay. */
export function measureMachine(mark: Mark, kept: (path: string) => boolean): Measures {
  const processes = processesOf(mark);
  return {
    named: {
      mounts: mountsOf(mark),
      cgroups: cgroupsOf(mark),
      processes: processes.map(describeProcess),
      namespaces: processes.flatMap(foreignNamespaces),
      "memory files": processes.flatMap(memoryFiles),
      files: filesBelow(mark.directory).filter((path) => !kept(path)),
    },
    counted: {
      "descriptors of this process": readdirSync("/proc/self/fd").length,
      "unix sockets": linesIn("/proc/net/unix"),
      keys: linesIn("/proc/keys"),
      "zombies of process 1": zombiesOf(1),
      ...slabObjects(),
    },
  };
}

/** One kind of thing that is there and was not, or a number that has grown as if each container had left something. */
export interface Leak {
  readonly kind: string;
  readonly what: readonly string[];
}

/** What of `after` was not there `before`. A number is a leak when it grew by half of `containers` at least. */
export function findLeaks(before: Measures, after: Measures, containers: number): Leak[] {
  const named = Object.entries(after.named).flatMap(([kind, things]) => {
    const known = new Set(before.named[kind]);
    const what = things.filter((thing) => !known.has(thing));
    return what.length === 0 ? [] : [{ kind, what }];
  });
  const counted = Object.entries(after.counted).flatMap(([kind, count]) => {
    const grown = count - (before.counted[kind] ?? 0);
    const limit = kind.startsWith("descriptors") ? 8 : Math.max(100, containers / 2);
    return grown < limit ? [] : [{ kind, what: [`${before.counted[kind] ?? 0} before, ${count} after ${containers} containers`] }];
  });
  return [...named, ...counted];
}

/** The pids of processes that bear our mark, without this one. */
export function processesOf({ token, directory }: Mark): number[] {
  const isOurs = (pid: string): boolean =>
    ["environ", "cmdline", "cgroup"].some((file) => {
      const text = readIfThere(`/proc/${pid}/${file}`);
      return text.includes(token) || (file === "cmdline" && text.includes(directory));
    });
  return processIds()
    .filter((pid) => Number(pid) !== process.pid && isOurs(pid))
    .map(Number);
}

/** Processes of ours, with the container that each belongs to. */
export function survivorsOf(mark: Mark): { readonly id: string; readonly what: string }[] {
  return processesOf(mark).map((pid) => {
    const words = `${readIfThere(`/proc/${pid}/environ`)}\0${readIfThere(`/proc/${pid}/cmdline`)}`;
    const id = new RegExp(`${mark.token}-\\d+`).exec(words)?.[0] ?? "";
    return { id, what: describeProcess(pid) };
  });
}

/** The mount points of all mounted cgroup hierarchies. */
export function cgroupTops(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(" ")[4] ?? "");
}

/** A pid with its command line, state and what it waits in. */
function describeProcess(pid: number): string {
  const line = readIfThere(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
  const stat = readIfThere(`/proc/${pid}/stat`);
  const [state = "?", parent = "?"] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const id = /GANTRY_STRESS_ID=([^\0]*)/.exec(readIfThere(`/proc/${pid}/environ`))?.[1] ?? "";
  return `${pid} (${state}, parent ${parent}) ${line} ${id}`;
}

function processIds(): string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
}

function zombiesOf(parent: number): number {
  return processIds().filter((pid) => {
    const stat = readIfThere(`/proc/${pid}/stat`);
    const [state, ppid] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" && Number(ppid) === parent;
  }).length;
}

function mountsOf({ token, directory }: Mark): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(directory) || line.includes(token));
}

/** Cgroup directories with our mark in their path, below every mount point of a hierarchy. */
function cgroupsOf({ token }: Mark): string[] {
  const found: string[] = [];
  const visit = (directory: string, isOurs: boolean): void => {
    for (const name of subdirectories(directory)) {
      const path = join(directory, name);
      const below = isOurs || name.includes(token);
      if (below) found.push(path);
      visit(path, below);
    }
  };
  for (const top of cgroupTops()) visit(top, false);
  return found;
}

function subdirectories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch {
    // It went while we looked.
    return [];
  }
}

function foreignNamespaces(pid: number): string[] {
  return ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"].flatMap((kind) => {
    const theirs = linkOf(`/proc/${pid}/ns/${kind}`);
    return theirs === "" || theirs === linkOf(`/proc/self/ns/${kind}`) ? [] : [theirs];
  });
}

function memoryFiles(pid: number): string[] {
  return subentries(`/proc/${pid}/fd`).flatMap((fd) => {
    const target = linkOf(`/proc/${pid}/fd/${fd}`);
    return target.startsWith("/memfd:") ? [`${pid} ${target}`] : [];
  });
}

function filesBelow(directory: string): string[] {
  return subentries(directory).flatMap((name) => {
    const path = join(directory, name);
    const isDirectory = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true && linkOf(path) === "";
    return isDirectory ? [path, ...filesBelow(path)] : [path];
  });
}

function subentries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    // It went while we looked.
    return [];
  }
}

/** KERNEL: objects freed lately stay counted as active on lists of each CPU until a cache is shrunk. */
function slabObjects(): Record<string, number> {
  for (const cache of caches) {
    const shrink = `/sys/kernel/slab/${cache}/shrink`;
    if (existsSync(shrink)) writeFileSync(shrink, "1");
  }
  const lines = readIfThere("/proc/slabinfo")
    .split("\n")
    .map((line) => line.split(/\s+/));
  return Object.fromEntries(
    lines.flatMap(([name = "", active]) => (caches.includes(name) ? [[`kernel objects ${name}`, Number(active)]] : [])),
  );
}

function linesIn(path: string): number {
  return readIfThere(path).split("\n").length;
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    // Processes end while they are looked at.
    return "";
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    // It is none, or it went.
    return "";
  }
}
