/** The files of cgroup v1 that hold `linux.resources`. */
import type { Step } from "#program/encode.ts";
import type { LinuxResources } from "#spec/runtime-config.ts";
import { pointerTo } from "#spec/shape.ts";
import { step, unsupported, type Context } from "../context.ts";
import { v1BlockLimits } from "./block-io.ts";
import { deviceRules, formatV1DeviceRule } from "./device-rules.ts";
import { limit, limitSteps, nonEmpty, nonZero, resourcesAt, type Limit, type LimitPlace } from "./limit.ts";

/** Writes of limits to v1 cgroups, all but devices. @throws CodedError `unsupported` naming what cannot be limited here */
export function compileV1Limits(resources: LinuxResources, place: LimitPlace, warn: (sentence: string) => void): Step[] {
  const [unified] = Object.keys(resources.unified ?? {});
  if (unified !== undefined) throw unsupported(pointerTo(`${resourcesAt}/unified`, unified), "this machine's controllers are on cgroup v1");
  if (nonZero(resources.memory?.kernel) !== undefined) {
    warn("ignored /linux/resources/memory/kernel: kernel memory has no limit of its own since Linux 5.16");
  }
  return limitSteps(v1Limits(resources, place), place);
}

function v1Limits(resources: LinuxResources, place: LimitPlace): Limit[] {
  const { memory = {}, pids = {}, network = {} } = resources;
  return [
    ...memoryAndSwap(memory, place),
    ...limit("memory", "soft_limit_in_bytes", { at: "memory/reservation", value: nonZero(memory.reservation) }),
    ...limit("memory", "kmem.tcp.limit_in_bytes", { at: "memory/kernelTCP", value: nonZero(memory.kernelTCP), mayBeMissing: true }),
    ...limit("memory", "swappiness", { at: "memory/swappiness", value: memory.swappiness }),
    ...limit("memory", "oom_control", { at: "memory/disableOOMKiller", value: memory.disableOOMKiller === true ? 1 : undefined }),
    ...cpuLimits(resources.cpu ?? {}, place),
    ...limit("pids", "max", { at: "pids/limit", value: pids.limit === -1 ? "max" : pids.limit }),
    ...v1BlockLimits(resources.blockIO ?? {}),
    ...hugePageLimits(resources, "limit_in_bytes"),
    ...limit("net_cls", "classid", { at: "network/classID", value: nonZero(network.classID) }),
    ...(network.priorities ?? []).flatMap(({ name, priority }, index) =>
      limit("net_prio", "ifpriomap", { at: `network/priorities/${index}`, value: `${name} ${priority}` }),
    ),
    ...rdmaLimits(resources),
  ];
}

/**
 * KERNEL: memory and swap together may never be less than memory alone, so what grows first depends on what is there.
 * A new cgroup has neither limit.
 */
function memoryAndSwap(memory: NonNullable<LinuxResources["memory"]>, { read }: LimitPlace): Limit[] {
  const [wanted, both] = [nonZero(memory.limit), nonZero(memory.swap)];
  const memoryLimit = limit("memory", "limit_in_bytes", { at: "memory/limit", value: wanted });
  const file = "memsw.limit_in_bytes";
  const swapLimit = limit("memory", file, { at: "memory/swap", value: both, mayBeMissing: true });
  // No limit for memory alone means none for both; kernels may be told at boot not to count swap.
  if (wanted === -1 && both === undefined)
    return [...limit("memory", file, { at: "memory/limit", value: -1, tolerates: "missing" }), ...memoryLimit];
  const current = Number(read?.("memory", "memory.limit_in_bytes") ?? Number.NaN);
  const isGrowing = wanted !== undefined && both !== undefined && (both === -1 || current < both);
  return isGrowing ? [...swapLimit, ...memoryLimit] : [...memoryLimit, ...swapLimit];
}

/** KERNEL: a quota of no limit takes any period and burst; where there is one already, what depends on it is tried before and after. */
function cpuLimits(cpu: NonNullable<LinuxResources["cpu"]>, { read }: LimitPlace): Limit[] {
  const isChange = read !== undefined;
  const period = { at: "cpu/period", value: nonZero(cpu.period) };
  const quota = { at: "cpu/quota", value: nonZero(cpu.quota) };
  const burst = { at: "cpu/burst", value: cpu.burst, mayBeMissing: true };
  const realtimePeriod = { at: "cpu/realtimePeriod", value: nonZero(cpu.realtimePeriod), mayBeMissing: true };
  const realtimeRuntime = { at: "cpu/realtimeRuntime", value: nonZero(cpu.realtimeRuntime), mayBeMissing: true };
  const idle = limit("cpu", "idle", { at: "cpu/idle", value: cpu.idle, mayBeMissing: true });
  const tried = { tolerates: "all" } as const;
  const isQuotaChange = isChange && quota.value !== undefined;
  return [
    // An idle cgroup takes no shares.
    ...(cpu.idle === 0 ? idle : []),
    ...limit("cpu", "shares", { at: "cpu/shares", value: nonZero(cpu.shares) }),
    ...(isQuotaChange
      ? [...limit("cpu", "cfs_burst_us", { ...burst, ...tried }), ...limit("cpu", "cfs_period_us", { ...period, ...tried })]
      : limit("cpu", "cfs_period_us", period)),
    ...limit("cpu", "cfs_quota_us", quota),
    ...(isQuotaChange ? limit("cpu", "cfs_period_us", period) : []),
    ...limit("cpu", "cfs_burst_us", burst),
    ...limit("cpu", "rt_period_us", isChange && realtimeRuntime.value !== undefined ? { ...realtimePeriod, ...tried } : realtimePeriod),
    ...limit("cpu", "rt_runtime_us", realtimeRuntime),
    ...(isChange && realtimeRuntime.value !== undefined ? limit("cpu", "rt_period_us", realtimePeriod) : []),
    ...(cpu.idle === 0 ? [] : idle),
    ...limit("cpuset", "cpus", { at: "cpu/cpus", value: nonEmpty(cpu.cpus) }),
    ...limit("cpuset", "mems", { at: "cpu/mems", value: nonEmpty(cpu.mems) }),
  ];
}

/** The limit at the page fault and, where the kernel counts them, of reservations. @see runtime-spec config-linux.md#huge-page-limits */
export function hugePageLimits({ hugepageLimits = [] }: LinuxResources, suffix: "limit_in_bytes" | "max"): Limit[] {
  return hugepageLimits.flatMap(({ pageSize, limit: value }, index) => {
    const wish = { at: `hugepageLimits/${index}`, value };
    return [
      ...limit("hugetlb", `${pageSize}.${suffix}`, { ...wish, mayBeMissing: true }),
      ...limit("hugetlb", `${pageSize}.rsvd.${suffix}`, { ...wish, tolerates: "missing" }),
    ];
  });
}

/** One write for each resource: the kernel keeps what a line does not name. @see cgroup-v2.rst, rdma.max */
export function rdmaLimits({ rdma = {} }: LinuxResources): Limit[] {
  return Object.entries(rdma).flatMap(([device, { hcaHandles, hcaObjects }]) => {
    const words = [
      ...(hcaHandles === undefined ? [] : [`hca_handle=${hcaHandles}`]),
      ...(hcaObjects === undefined ? [] : [`hca_object=${hcaObjects}`]),
    ];
    return words.length === 0 ? [] : limit("rdma", "max", { at: pointerTo("rdma", device), value: `${device} ${words.join(" ")}` });
  });
}

/** Device rules in the order given, as they are: who reads devices.list back finds what the config says. */
export function compileV1Devices({ linux, isPrivileged, isRootless, warn }: Context, directories: ReadonlyMap<string, string>): Step[] {
  const asked = linux.resources?.devices ?? [];
  const rules = deviceRules(asked);
  if (!isPrivileged || isRootless) {
    if (asked.length > 0) warn("ignored /linux/resources/devices: only root may write device rules");
    return [];
  }
  const directory = directories.get("devices");
  // Nothing was asked for that could not be given.
  if (directory === undefined && asked.length === 0) return [];
  if (directory === undefined) throw unsupported(`${resourcesAt}/devices`, "the devices controller is not available here");
  return rules.flatMap(({ rule, origin }) =>
    formatV1DeviceRule(rule).map((data) =>
      step({ op: "write", path: `${directory}/devices.${rule.allow ? "allow" : "deny"}`, data, fsMagic: 0 }, origin),
    ),
  );
}
