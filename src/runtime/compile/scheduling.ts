/**
 * When and where the process runs, and where its memory comes from.
 *
 * All of it is kept over exec and inherited by the container's other processes. Realtime policies and classes need CAP_SYS_NICE
 * in the first user namespace, so these steps stand before the change of credentials. @see sched(7), ioprio_set(2), set_mempolicy(2)
 */
import type { Step } from "#program/encode.ts";
import { parseNumberList } from "#spec/number-list.ts";
import type { ConfigProcess } from "#spec/runtime-config.ts";
import {
  bitsOf,
  cpuLimit,
  executionDomains,
  ioClasses,
  memoryFlags,
  memoryModes,
  nodeLimit,
  numberOf,
  schedulingFlags,
  schedulingPolicies,
} from "#spec/scheduling.ts";
import { step, unsupported, type Context } from "./context.ts";

/** Compiles `process.scheduler`, `process.ioPriority`, `linux.personality` and `linux.memoryPolicy`. @throws CodedError `unsupported` for SCHED_ISO. */
export function compileScheduling(context: Context, process: ConfigProcess): Step[] {
  return [
    ...compileScheduler(context, process),
    ...compileIoPriority(process),
    ...compilePersonality(context),
    ...compileMemoryPolicy(context),
  ];
}

/** The moments of `process.execCPUAffinity`: where `exec` runs before it enters the container's cgroups, and after. */
export interface AffinityPlan {
  /** In the executor, before anything else. */
  readonly initial: readonly Step[];
  /** In the child, once it is in the container's cgroups. */
  readonly final: readonly Step[];
}

/**
 * Compiles `process.execCPUAffinity`, which is about processes that `exec` adds and not about the container's first one.
 * Without `final` nothing is changed there: which CPUs are left is the kernel's choice. @see runtime-spec config.md#linux-process
 */
export function compileExecAffinity({ execCPUAffinity = {} }: ConfigProcess): AffinityPlan {
  const moment = (key: "initial" | "final"): Step[] => {
    const cpus = parseNumberList(execCPUAffinity[key] ?? "", cpuLimit) ?? [];
    return cpus.length === 0 ? [] : [step({ op: "cpu-affinity", cpus: bitMask(cpus) }, `/process/execCPUAffinity/${key}`)];
  };
  return { initial: moment("initial"), final: moment("final") };
}

/** One bit for each of `numbers`, in little-endian words of 64 bits. */
export function bitMask(numbers: readonly number[]): Uint8Array {
  const words = Math.floor(Math.max(-1, ...numbers) / 64) + 1;
  const mask = new Uint8Array(words * 8);
  for (const number of numbers) mask[number >> 3] = (mask[number >> 3] ?? 0) | (1 << (number & 7));
  return mask;
}

function compileScheduler({ warn }: Context, { scheduler }: ConfigProcess): Step[] {
  if (scheduler === undefined) return [];
  const { policy, nice = 0, priority = 0, flags = [], runtime = 0, deadline = 0, period = 0 } = scheduler;
  const origin = "/process/scheduler";
  if (policy === "SCHED_ISO") throw unsupported(`${origin}/policy`, "no kernel has SCHED_ISO");
  if (nice !== 0 && policy !== "SCHED_OTHER" && policy !== "SCHED_BATCH") warn(`ignored ${origin}/nice: ${policy} has no nice value`);
  return [
    step(
      {
        op: "scheduler",
        policy: numberOf(schedulingPolicies, policy) ?? 0,
        flags: bitsOf(schedulingFlags, flags),
        nice,
        priority,
        runtime: BigInt(runtime),
        deadline: BigInt(deadline),
        period: BigInt(period),
      },
      origin,
    ),
  ];
}

/** KERNEL: ioprio_set(2), IOPRIO_PRIO_VALUE: the class is in the bits from 13 up. */
const ioClassShift = 13;

function compileIoPriority({ ioPriority }: ConfigProcess): Step[] {
  if (ioPriority === undefined) return [];
  const { class: name, priority } = ioPriority;
  return [step({ op: "io-priority", value: ((numberOf(ioClasses, name) ?? 0) << ioClassShift) | priority }, "/process/ioPriority")];
}

function compilePersonality({ linux }: Context): Step[] {
  if (linux.personality === undefined) return [];
  return [step({ op: "personality", value: numberOf(executionDomains, linux.personality.domain) ?? 0 }, "/linux/personality")];
}

function compileMemoryPolicy({ linux }: Context): Step[] {
  if (linux.memoryPolicy === undefined) return [];
  const { mode, nodes = "", flags = [] } = linux.memoryPolicy;
  const bits = (numberOf(memoryModes, mode) ?? 0) | bitsOf(memoryFlags, flags);
  return [step({ op: "memory-policy", mode: bits, nodes: bitMask(parseNumberList(nodes, nodeLimit) ?? []) }, "/linux/memoryPolicy")];
}
