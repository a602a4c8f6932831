/** The files of a cgroup that hold `linux.resources`: one table for v1, one for v2. */
import type { Step } from "#program/encode.ts";
import type { LinuxResources } from "#spec/runtime-config.ts";
import { pointerTo } from "#spec/shape.ts";
import { step, unsupported, type Context } from "../context.ts";
import { compileDeviceFilter } from "./device-filter.ts";
import { deviceRules, formatV1DeviceRule } from "./device-rules.ts";

/** One value to write: the controller and file it belongs to, and where it is asked for below /linux/resources. */
interface Limit {
  readonly controller: string;
  readonly file: string;
  readonly data: string;
  readonly at: string;
}

const resourcesAt = "/linux/resources";

/** Writes of limits to v1 cgroups; `directories` are the container's, by controller. */
export function compileV1Limits(context: Context, directories: ReadonlyMap<string, string>): Step[] {
  const resources = context.linux.resources ?? {};
  refuseUnified(resources);
  if (resources.memory?.kernel !== undefined) {
    context.warn("ignored /linux/resources/memory/kernel: kernel memory has no limit of its own since Linux 5.16");
  }
  const steps = v1Limits(resources).map(({ controller, file, data, at }) =>
    step({ op: "write", path: `${requireController(directories, controller, at)}/${file}`, data, fsMagic: 0 }, `${resourcesAt}/${at}`),
  );
  return [...steps, ...compileV1Devices(context, directories)];
}

/** Writes of limits to the v2 cgroup at `path`. */
export function compileUnifiedLimits(context: Context, path: string): Step[] {
  const resources = context.linux.resources ?? {};
  const available = new Map((context.facts.cgroup.unified?.controllers ?? []).map((name) => [name, path]));
  const { memory = {} } = resources;
  if (memory.swappiness !== undefined) context.warn("ignored /linux/resources/memory/swappiness: cgroup v2 has no swappiness");
  if (memory.disableOOMKiller === true)
    context.warn("ignored /linux/resources/memory/disableOOMKiller: cgroup v2 cannot switch the OOM killer off");
  for (const key of ["kernel", "kernelTCP"] as const) {
    if (memory[key] !== undefined) context.warn(`ignored /linux/resources/memory/${key}: cgroup v2 has no such limit`);
  }
  for (const key of ["realtimeRuntime", "realtimePeriod"] as const) {
    if ((resources.cpu?.[key] ?? 0) !== 0) throw unsupported(`/linux/resources/cpu/${key}`, "cgroup v2 has no realtime budget");
  }
  const steps = v2Limits(resources).map(({ controller, file, data, at }) =>
    step({ op: "write", path: `${requireController(available, controller, at)}/${file}`, data, fsMagic: 0 }, `${resourcesAt}/${at}`),
  );
  const rules = deviceRules(resources.devices ?? []);
  if (rules.length > 0) {
    steps.push(step({ op: "device-filter", path, program: compileDeviceFilter(rules.map(({ rule }) => rule)) }, `${resourcesAt}/devices`));
  }
  return steps;
}

/** A row of the tables below: controller, file without the controller's name, place below /linux/resources, value if asked for. */
type Row = readonly [controller: string, file: string, at: string, value: number | string | undefined];

function limitsOf(rows: readonly Row[]): Limit[] {
  return rows.flatMap(([controller, file, at, value]) =>
    value === undefined ? [] : [{ controller, file: `${controller}.${file}`, data: formatNumber(value), at }],
  );
}

/** The order matters: a period before its quota, a quota before its burst, memory before memory with swap. */
function v1Limits({ memory = {}, cpu = {}, pids = {} }: LinuxResources): Limit[] {
  return limitsOf([
    ["memory", "limit_in_bytes", "memory/limit", nonZero(memory.limit)],
    ["memory", "memsw.limit_in_bytes", "memory/swap", nonZero(memory.swap)],
    ["memory", "soft_limit_in_bytes", "memory/reservation", nonZero(memory.reservation)],
    ["memory", "kmem.tcp.limit_in_bytes", "memory/kernelTCP", nonZero(memory.kernelTCP)],
    ["memory", "swappiness", "memory/swappiness", memory.swappiness],
    ["memory", "oom_control", "memory/disableOOMKiller", memory.disableOOMKiller === true ? 1 : undefined],
    ["cpu", "shares", "cpu/shares", nonZero(cpu.shares)],
    ["cpu", "cfs_period_us", "cpu/period", nonZero(cpu.period)],
    ["cpu", "cfs_quota_us", "cpu/quota", nonZero(cpu.quota)],
    ["cpu", "cfs_burst_us", "cpu/burst", cpu.burst],
    ["cpu", "rt_period_us", "cpu/realtimePeriod", nonZero(cpu.realtimePeriod)],
    ["cpu", "rt_runtime_us", "cpu/realtimeRuntime", nonZero(cpu.realtimeRuntime)],
    ["cpu", "idle", "cpu/idle", cpu.idle],
    ["cpuset", "cpus", "cpu/cpus", nonEmpty(cpu.cpus)],
    ["cpuset", "mems", "cpu/mems", nonEmpty(cpu.mems)],
    ["pids", "max", "pids/limit", orMax(pids.limit)],
  ]);
}

function v2Limits({ memory = {}, cpu = {}, pids = {}, unified = {} }: LinuxResources): Limit[] {
  const [shares, quota, period] = [nonZero(cpu.shares), nonZero(cpu.quota), nonZero(cpu.period)];
  const budget = quota === undefined && period === undefined ? undefined : [orMax(quota) ?? "max", period ?? ""].join(" ").trimEnd();
  const named = limitsOf([
    ["memory", "max", "memory/limit", orMax(nonZero(memory.limit))],
    ["memory", "swap.max", memory.swap === undefined ? "memory/limit" : "memory/swap", swapWithoutMemory(memory.limit, memory.swap)],
    ["memory", "low", "memory/reservation", orMax(nonZero(memory.reservation))],
    ["cpu", "weight", "cpu/shares", shares === undefined ? undefined : cpuWeight(shares)],
    ["cpu", "max", quota === undefined ? "cpu/period" : "cpu/quota", budget],
    ["cpu", "max.burst", "cpu/burst", cpu.burst],
    ["cpu", "idle", "cpu/idle", cpu.idle],
    ["cpuset", "cpus", "cpu/cpus", nonEmpty(cpu.cpus)],
    ["cpuset", "mems", "cpu/mems", nonEmpty(cpu.mems)],
    ["pids", "max", "pids/limit", orMax(pids.limit)],
  ]);
  const others = Object.entries(unified).map(([file, data]) => ({
    controller: file.slice(0, file.indexOf(".")),
    file,
    data,
    at: pointerTo("unified", file),
  }));
  return [...named, ...others];
}

function compileV1Devices({ linux, isPrivileged, warn }: Context, directories: ReadonlyMap<string, string>): Step[] {
  const rules = deviceRules(linux.resources?.devices ?? []);
  if (rules.length === 0) return [];
  if (!isPrivileged) {
    warn("ignored /linux/resources/devices: only root may write device rules");
    return [];
  }
  const directory = requireController(directories, "devices", "devices");
  return rules.flatMap(({ rule, origin }) =>
    formatV1DeviceRule(rule).map((data) =>
      step({ op: "write", path: `${directory}/devices.${rule.allow ? "allow" : "deny"}`, data, fsMagic: 0 }, origin),
    ),
  );
}

/**
 * The v2 weight (1 to 10000) of v1 shares (2 to 262144), such that both defaults, 1024 and 100, and both ends meet.
 * @see runc's and crun's conversion since 2025, which Kubernetes KEP-2254 refers to: a quadratic through (1, 0), (10, 2), (18, 4) in logarithms
 */
export function cpuWeight(shares: number): number {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  const exponent = Math.log2(shares);
  return Math.ceil(10 ** ((exponent * exponent + 125 * exponent) / 612 - 7 / 34));
}

/** v1 counts memory and swap together, v2 swap alone. */
function swapWithoutMemory(limit: number | undefined, swap: number | undefined): number | string | undefined {
  if (swap === undefined || swap === 0) return limit === -1 ? "max" : undefined;
  if (swap === -1) return "max";
  if (limit === undefined || limit <= 0) {
    throw unsupported("/linux/resources/memory/swap", "cgroup v2 limits swap alone, so it cannot be told without a memory limit");
  }
  return swap - limit;
}

function requireController(directories: ReadonlyMap<string, string>, controller: string, at: string): string {
  const directory = directories.get(controller) ?? (controller === "cgroup" ? [...directories.values()][0] : undefined);
  if (directory === undefined) throw unsupported(`${resourcesAt}/${at}`, `the ${controller} controller is not available here`);
  return directory;
}

function refuseUnified({ unified = {} }: LinuxResources): void {
  const [key] = Object.keys(unified);
  if (key !== undefined) throw unsupported(pointerTo(`${resourcesAt}/unified`, key), "this machine's controllers are on cgroup v1");
}

/** The Go types cannot tell 0 from absent, and no limit of these can be 0: documents that say 0 mean none. */
function nonZero(value: number | undefined): number | undefined {
  return value === 0 ? undefined : value;
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

function orMax(value: number | undefined): number | string | undefined {
  return value === -1 ? "max" : value;
}

/** Decimal digits, also where a number would print with an exponent. */
function formatNumber(value: number | string): string {
  return typeof value === "string" ? value : BigInt(value).toString();
}
