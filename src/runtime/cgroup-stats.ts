/**
 * What a container uses, read from its cgroups and told in the shape of runc's `events --stats`, which other programs parse.
 *
 * All counters have 64 unsigned bits, so they are bigints here; `formatStats` prints them as JSON numbers.
 * @see runc types/events.go; cgroup-v1/memory.rst, cgroup-v1/cpuacct.rst, cgroup-v2.rst
 */
import { readBlockCounters, type BlockCounter } from "./cgroup-block-stats.ts";
import type { HostFacts } from "./facts.ts";
import { directoriesByController, placeDirectories } from "./compile/cgroup/place.ts";

/** A counted resource with its limit; without one, `limit` is the greatest number of the version (v2: 2^64 - 1). */
export interface MemoryEntry {
  readonly limit: bigint;
  readonly usage?: bigint;
  readonly max?: bigint;
  readonly failcnt: bigint;
}

/** The `data` of a stats event. Zeros that runc leaves out are left out. */
export interface ContainerStats {
  readonly cpu: {
    /** Nanoseconds. */
    readonly usage: {
      readonly total?: bigint;
      readonly percpu?: readonly bigint[];
      readonly percpu_kernel?: readonly bigint[];
      readonly percpu_user?: readonly bigint[];
      readonly kernel: bigint;
      readonly user: bigint;
    };
    readonly throttling: { readonly periods?: bigint; readonly throttledPeriods?: bigint; readonly throttledTime?: bigint };
  };
  readonly cpuset: Readonly<Record<string, bigint | readonly bigint[]>>;
  /** Bytes. */
  readonly memory: {
    readonly cache?: bigint;
    readonly usage: MemoryEntry;
    readonly swap: MemoryEntry;
    readonly kernel: MemoryEntry;
    readonly kernelTCP: MemoryEntry;
    readonly raw?: Readonly<Record<string, bigint>>;
  };
  readonly pids: { readonly current?: bigint; readonly limit?: bigint };
  readonly blkio: Readonly<Record<string, readonly BlockCounter[]>>;
  readonly hugetlb: Readonly<Record<string, { readonly usage?: bigint; readonly max?: bigint; readonly failcnt: bigint }>>;
  /** Filled by whoever made a resctrl group. */
  readonly intel_rdt: Readonly<Record<string, never>>;
  /** Filled by whoever made interfaces; runc makes none either. */
  readonly network_interfaces: null;
}

/** The largest number, which stands for "max". */
const unlimited = 2n ** 64n - 1n;
/** USER_HZ, which the kernel's ABI fixes. */
const nanosPerTick = 10_000_000n;
const nothing: MemoryEntry = { limit: 0n, failcnt: 0n };

/** Reads a file of the container's cgroup of a controller. */
type Read = (controller: string, file: string) => string | undefined;

/**
 * How many processes of a container were killed for want of memory. KERNEL: both files count since 4.13; where there is no such file it is 0.
 * @see cgroup-v1/memory.rst, memory.oom_control; cgroup-v2.rst, memory.events
 */
export function readOutOfMemoryKills(cgroups: readonly string[], facts: HostFacts): bigint {
  const directories = placeDirectories(cgroups, facts.cgroup);
  const directory = directoriesByController(directories, facts).get("memory");
  if (directory === undefined) return 0n;
  const file = facts.cgroup.version === "v2" ? "memory.events" : "memory.oom_control";
  return keyed(facts.cgroupFiles.read(`${directory}/${file}`))["oom_kill"] ?? 0n;
}

/** The statistics of a container by its cgroups (absolute host directories). What a missing controller would tell is 0. */
export function readStats(cgroups: readonly string[], facts: HostFacts): ContainerStats {
  const directories = placeDirectories(cgroups, facts.cgroup);
  const byController = directoriesByController(directories, facts);
  const unified = directories.find(({ hierarchy }) => hierarchy === undefined)?.path;
  const isUnified = facts.cgroup.version === "v2";
  const read: Read = (controller, file) => {
    // cpu.stat of v2 is there without the controller.
    const directory = isUnified ? unified : byController.get(controller);
    return directory === undefined ? undefined : facts.cgroupFiles.read(`${directory}/${file}`);
  };
  return {
    cpu: isUnified ? unifiedCpu(read) : v1Cpu(read),
    cpuset: cpusetStats(read, isUnified),
    memory: isUnified ? unifiedMemory(read) : v1Memory(read),
    pids: withoutZeros({ current: numberIn(read("pids", "pids.current")), limit: pidsLimit(read("pids", "pids.max")) }),
    blkio: readBlockCounters(read, isUnified),
    hugetlb: hugePages(read, isUnified ? unified : byController.get("hugetlb"), isUnified),
    intel_rdt: {},
    network_interfaces: null,
  };
}

/** The statistics, or an event with them, as one line of JSON. */
export function formatStats(value: unknown): string {
  const text = JSON.stringify(value, (_, one: unknown) => (typeof one === "bigint" ? `#${one}#` : one));
  return text.replace(/"#(\d+)#"/g, "$1");
}

function v1Cpu(read: Read): ContainerStats["cpu"] {
  const ticks = keyed(read("cpuacct", "cpuacct.stat"));
  const stat = keyed(read("cpu", "cpu.stat"));
  const columns = (read("cpuacct", "cpuacct.usage_all") ?? "")
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.split(" ").map(BigInt));
  return {
    usage: {
      ...withoutZeros({ total: numberIn(read("cpuacct", "cpuacct.usage")) }),
      ...lists({
        percpu: (read("cpuacct", "cpuacct.usage_percpu") ?? "")
          .trim()
          .split(" ")
          .filter((word) => word !== "")
          .map(BigInt),
        percpu_kernel: columns.map(([, , system = 0n]) => system),
        percpu_user: columns.map(([, user = 0n]) => user),
      }),
      kernel: (ticks["system"] ?? 0n) * nanosPerTick,
      user: (ticks["user"] ?? 0n) * nanosPerTick,
    },
    throttling: withoutZeros({
      periods: stat["nr_periods"],
      throttledPeriods: stat["nr_throttled"],
      throttledTime: stat["throttled_time"],
    }),
  };
}

function unifiedCpu(read: Read): ContainerStats["cpu"] {
  const stat = keyed(read("cpu", "cpu.stat"));
  const nanos = (name: string): bigint => (stat[name] ?? 0n) * 1000n;
  return {
    usage: { ...withoutZeros({ total: nanos("usage_usec") }), kernel: nanos("system_usec"), user: nanos("user_usec") },
    throttling: withoutZeros({
      periods: stat["nr_periods"],
      throttledPeriods: stat["nr_throttled"],
      throttledTime: nanos("throttled_usec"),
    }),
  };
}

function v1Memory(read: Read): ContainerStats["memory"] {
  const raw = keyed(read("memory", "memory.stat"));
  const entry = (name: string): MemoryEntry => {
    const of = (what: string): bigint => numberIn(read("memory", `memory.${name}${what}`));
    return {
      limit: of("limit_in_bytes"),
      ...withoutZeros({ usage: of("usage_in_bytes"), max: of("max_usage_in_bytes") }),
      failcnt: of("failcnt"),
    };
  };
  return {
    ...withoutZeros({ cache: raw["cache"] }),
    usage: entry(""),
    swap: entry("memsw."),
    kernel: entry("kmem."),
    kernelTCP: entry("kmem.tcp."),
    ...(Object.keys(raw).length === 0 ? {} : { raw }),
  };
}

/** As v1, swap counts memory and swap together; its peak cannot be told so. */
function unifiedMemory(read: Read): ContainerStats["memory"] {
  const raw = keyed(read("memory", "memory.stat"));
  const of = (file: string): bigint => numberIn(read("memory", file));
  const [usage, limit] = [of("memory.current"), of("memory.max")];
  const hasSwap = read("memory", "memory.swap.current") !== undefined;
  const swapLimit = of("memory.swap.max");
  const both = swapLimit === unlimited || limit === unlimited ? unlimited : swapLimit + limit;
  return {
    ...withoutZeros({ cache: raw["file"] }),
    usage: { limit, ...withoutZeros({ usage, max: of("memory.peak") }), failcnt: 0n },
    swap: hasSwap ? { limit: both, ...withoutZeros({ usage: of("memory.swap.current") + usage }), failcnt: 0n } : nothing,
    kernel: nothing,
    kernelTCP: nothing,
    ...(Object.keys(raw).length === 0 ? {} : { raw }),
  };
}

const cpusetFlags = [
  ["cpu_exclusive", "cpuset.cpu_exclusive"],
  ["mem_hardwall", "cpuset.mem_hardwall"],
  ["mem_exclusive", "cpuset.mem_exclusive"],
  ["memory_migrate", "cpuset.memory_migrate"],
  ["memory_spread_page", "cpuset.memory_spread_page"],
  ["memory_spread_slab", "cpuset.memory_spread_slab"],
  ["memory_pressure", "cpuset.memory_pressure"],
  ["sched_load_balance", "cpuset.sched_load_balance"],
  ["sched_relax_domain_level", "cpuset.sched_relax_domain_level"],
] as const;

function cpusetStats(read: Read, isUnified: boolean): ContainerStats["cpuset"] {
  const list = (file: string): bigint[] =>
    (isUnified ? "" : (read("cpuset", file) ?? ""))
      .trim()
      .split(",")
      .filter((part) => part !== "")
      .flatMap((part) => {
        const [first = 0, last = first] = part.split("-").map(Number);
        return Array.from({ length: last - first + 1 }, (_, index) => BigInt(first + index));
      });
  const flags = cpusetFlags.map(([name, file]): [string, bigint] => [name, isUnified ? 0n : numberIn(read("cpuset", file))]);
  return { ...lists({ cpus: list("cpuset.cpus") }), ...Object.fromEntries(flags), ...lists({ mems: list("cpuset.mems") }) };
}

/** KERNEL: reservations are counted apart since 5.7; where they are, they are what is limited first. */
function hugePages(read: Read, directory: string | undefined, isUnified: boolean): ContainerStats["hugetlb"] {
  if (directory === undefined) return {};
  const sizes = ["64KB", "1MB", "2MB", "16MB", "32MB", "512MB", "1GB", "2GB", "16GB"];
  return Object.fromEntries(
    sizes.flatMap((size) => {
      const usageFile = isUnified ? "current" : "usage_in_bytes";
      const prefix = [`hugetlb.${size}.rsvd`, `hugetlb.${size}`].find((name) => read("hugetlb", `${name}.${usageFile}`) !== undefined);
      if (prefix === undefined) return [];
      const usage = numberIn(read("hugetlb", `${prefix}.${usageFile}`));
      const max = isUnified ? 0n : numberIn(read("hugetlb", `${prefix}.max_usage_in_bytes`));
      const failcnt = isUnified
        ? (keyed(read("hugetlb", `hugetlb.${size}.events`))["max"] ?? 0n)
        : numberIn(read("hugetlb", `${prefix}.failcnt`));
      return [[size, { ...withoutZeros({ usage, max }), failcnt }] as const];
    }),
  );
}

/** Without a limit runc says 0, which it leaves out. */
function pidsLimit(text: string | undefined): bigint {
  const limit = numberIn(text);
  return limit === unlimited ? 0n : limit;
}

/** The number that a file holds; 0 when there is none. Less than 0 is 0. */
function numberIn(text: string | undefined): bigint {
  const word = text?.trim() ?? "";
  return word === "max" ? unlimited : /^\d+$/.test(word) ? BigInt(word) : 0n;
}

/** Lines of a name and a number. */
function keyed(text: string | undefined): Record<string, bigint> {
  const pairs = (text ?? "").split("\n").map((line) => line.split(" "));
  return Object.fromEntries(
    pairs.flatMap(([name = "", value = ""]): [string, bigint][] => (/^\d+$/.test(value) ? [[name, BigInt(value)]] : [])),
  );
}

function withoutZeros<Key extends string>(numbers: Readonly<Record<Key, bigint | undefined>>): { readonly [K in Key]?: bigint } {
  return Object.fromEntries(Object.entries<bigint | undefined>(numbers).filter(([, value]) => (value ?? 0n) !== 0n)) as {
    [K in Key]?: bigint;
  };
}

function lists<Key extends string>(all: Readonly<Record<Key, readonly bigint[]>>): { readonly [K in Key]?: readonly bigint[] } {
  return Object.fromEntries(Object.entries<readonly bigint[]>(all).filter(([, list]) => list.length > 0)) as {
    [K in Key]?: readonly bigint[];
  };
}
