/** The files of cgroup v2 that hold `linux.resources`. */
import type { Step } from "#program/encode.ts";
import type { LinuxResources } from "#spec/runtime-config.ts";
import { pointerTo } from "#spec/shape.ts";
import { step, unsupported, type Context } from "../context.ts";
import { v2BlockLimits } from "./block-io.ts";
import { compileDeviceFilter } from "./device-filter.ts";
import { deviceRules } from "./device-rules.ts";
import { formatNumber, limit, limitSteps, nonEmpty, nonZero, orMax, type Limit, type LimitPlace } from "./limit.ts";
import { hugePageLimits, rdmaLimits } from "./v1-limits.ts";

type Memory = NonNullable<LinuxResources["memory"]>;

/** Writes of limits to a v2 cgroup, all but devices. @throws CodedError `unsupported` naming what cannot be limited here */
export function compileV2Limits(resources: LinuxResources, place: LimitPlace, warn: (sentence: string) => void): Step[] {
  const { memory = {}, cpu = {}, network = {} } = resources;
  if (memory.swappiness !== undefined) warn("ignored /linux/resources/memory/swappiness: cgroup v2 has no swappiness");
  if (memory.disableOOMKiller === true)
    warn("ignored /linux/resources/memory/disableOOMKiller: cgroup v2 cannot switch the OOM killer off");
  for (const key of ["kernel", "kernelTCP"] as const) {
    if (nonZero(memory[key]) !== undefined) warn(`ignored /linux/resources/memory/${key}: cgroup v2 has no such limit`);
  }
  for (const key of ["realtimeRuntime", "realtimePeriod"] as const) {
    if ((cpu[key] ?? 0) !== 0) throw unsupported(`/linux/resources/cpu/${key}`, "cgroup v2 has no realtime budget");
  }
  for (const [key, isAsked] of [
    ["classID", (network.classID ?? 0) !== 0],
    ["priorities", (network.priorities ?? []).length > 0],
  ] as const) {
    if (isAsked) throw unsupported(`/linux/resources/network/${key}`, "cgroup v2 has no controllers for network traffic");
  }
  return limitSteps(v2Limits(resources, place.read), place);
}

/** The controllers that limits of a config are of. */
export function neededControllers(resources: LinuxResources): Set<string> {
  const required = v2Limits(resources).filter(({ tolerates, controller }) => tolerates === undefined && controller !== "cgroup");
  return new Set(required.map(({ controller }) => controller));
}

function v2Limits(resources: LinuxResources, read?: LimitPlace["read"]): Limit[] {
  const { pids = {}, unified = {} } = resources;
  return [
    ...memoryLimits(resources.memory ?? {}, read),
    ...cpuLimits(resources.cpu ?? {}, read),
    // KERNEL: a child cannot be cloned into a cgroup of no processes; with one it cannot fork either, which is what 0 asks for.
    ...limit("pids", "max", { at: "pids/limit", value: pids.limit === 0 ? 1 : orMax(pids.limit) }),
    ...v2BlockLimits(resources.blockIO ?? {}),
    ...hugePageLimits(resources, "max"),
    ...rdmaLimits(resources),
    // After all others: these are the words of somebody who knows the machine.
    ...Object.entries(unified).map(([file, data]): Limit => ({
      controller: file.slice(0, file.indexOf(".")),
      files: [[file, data]],
      at: pointerTo("unified", file),
    })),
  ];
}

/** Swap first: a memory limit that is lowered pushes pages out, and what may be swapped then is already said. */
function memoryLimits(memory: Memory, read: LimitPlace["read"]): Limit[] {
  const current = Number(read?.("memory", "memory.max") ?? Number.NaN);
  const swap = swapWithoutMemory(nonZero(memory.limit) ?? (Number.isNaN(current) ? undefined : current), memory);
  const isNone = swap === "max" || swap === 0;
  return [
    // A kernel that counts no swap limits none: both "no limit" and "no swap" are so there.
    ...limit("memory", "swap.max", {
      at: nonZero(memory.swap) === undefined ? "memory/limit" : "memory/swap",
      value: swap,
      ...(isNone ? { tolerates: "missing" as const } : { mayBeMissing: true }),
    }),
    ...limit("memory", "max", { at: "memory/limit", value: orMax(nonZero(memory.limit)) }),
    ...limit("memory", "low", { at: "memory/reservation", value: orMax(nonZero(memory.reservation)) }),
  ];
}

/** v1 counts memory and swap together, v2 swap alone. @returns what memory.swap.max takes */
export function swapWithoutMemory(limitBytes: number | undefined, { swap, limit: asked }: Memory): number | "max" | undefined {
  if (swap === undefined || swap === 0) return asked === -1 ? "max" : undefined;
  if (swap === -1) return "max";
  if (limitBytes === undefined || limitBytes <= 0) {
    throw unsupported("/linux/resources/memory/swap", "cgroup v2 limits swap alone, so it cannot be told without a memory limit");
  }
  return swap - limitBytes;
}

function cpuLimits(cpu: NonNullable<LinuxResources["cpu"]>, read: LimitPlace["read"]): Limit[] {
  const [shares, quota, period] = [nonZero(cpu.shares), nonZero(cpu.quota), nonZero(cpu.period)];
  const [currentQuota = "max"] = (read?.("cpu", "cpu.max") ?? "max").trim().split(" ");
  const budget =
    quota === undefined && period === undefined
      ? undefined
      : [orMax(quota) ?? currentQuota, period ?? ""].map(formatNumber).join(" ").trimEnd();
  const burst = { at: "cpu/burst", value: cpu.burst, mayBeMissing: true };
  const idle = limit("cpu", "idle", { at: "cpu/idle", value: cpu.idle, mayBeMissing: true });
  return [
    // An idle cgroup takes no weight.
    ...(cpu.idle === 0 ? idle : []),
    ...limit("cpu", "weight", { at: "cpu/shares", value: shares === undefined ? undefined : cpuWeight(shares) }),
    // KERNEL: a burst may not be above the quota, so with a quota that shrinks it goes first.
    ...(read === undefined || budget === undefined ? [] : limit("cpu", "max.burst", { ...burst, tolerates: "all" })),
    ...limit("cpu", "max", { at: quota === undefined ? "cpu/period" : "cpu/quota", value: budget }),
    ...limit("cpu", "max.burst", burst),
    ...(cpu.idle === 0 ? [] : idle),
    ...limit("cpuset", "cpus", { at: "cpu/cpus", value: nonEmpty(cpu.cpus) }),
    ...limit("cpuset", "mems", { at: "cpu/mems", value: nonEmpty(cpu.mems) }),
  ];
}

/** The device rules as a filter of the cgroup at `path`. */
export function compileV2Devices({ linux, isPrivileged, isRootless, warn }: Context, path: string): Step[] {
  const asked = linux.resources?.devices ?? [];
  const rules = deviceRules(asked);
  if (!isPrivileged || isRootless) {
    if (asked.length > 0) warn("ignored /linux/resources/devices: only root may load device filters");
    return [];
  }
  return [step({ op: "device-filter", path, program: compileDeviceFilter(rules.map(({ rule }) => rule)) }, "/linux/resources/devices")];
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
