/** Rules about when and where the process runs: `process.scheduler`, `ioPriority`, `execCPUAffinity`, `linux.memoryPolicy`, `linux.personality`. */
import { parseNumberList } from "../number-list.ts";
import type { RuntimeConfig } from "../runtime-config.ts";
import {
  cpuLimit,
  executionDomains,
  ioClasses,
  memoryFlags,
  memoryModes,
  nodeLimit,
  numberOf,
  schedulingFlags,
  schedulingPolicies,
} from "../scheduling.ts";
import { problemIf, type Check, type Problem } from "./problem.ts";

export const schedulingChecks: readonly Check[] = [
  { name: "process.scheduler has a known policy with the values that belong to it", find: findSchedulerProblems },
  {
    name: "process.ioPriority has a known class and a level from 0 to 7",
    find: ({ process }) => {
      const { class: name = "IOPRIO_CLASS_BE", priority = 0 } = process?.ioPriority ?? {};
      return [
        ...unknownName(ioClasses, name, "/process/ioPriority/class"),
        ...problemIf(priority < 0 || priority > 7, "/process/ioPriority/priority", `${priority} is not from 0 to 7`),
      ];
    },
  },
  {
    name: "process.execCPUAffinity holds lists of CPUs",
    find: ({ process }) =>
      (["initial", "final"] as const).flatMap((key) => {
        const value = process?.execCPUAffinity?.[key] ?? "";
        return problemIf(
          parseNumberList(value, cpuLimit) === undefined,
          `/process/execCPUAffinity/${key}`,
          `"${value.slice(0, 80)}" is no list such as 0-3,7`,
        );
      }),
  },
  { name: "linux.memoryPolicy has a known mode with the nodes that it needs", find: findMemoryPolicyProblems },
  {
    name: "linux.personality has a known domain and no flags",
    find: ({ linux }) => {
      const { domain = "LINUX", flags = [] } = linux?.personality ?? {};
      return [
        ...unknownName(executionDomains, domain, "/linux/personality/domain"),
        ...problemIf(flags.length > 0, "/linux/personality/flags", "the specification has no flags yet"),
      ];
    },
  },
];

function findSchedulerProblems({ process }: RuntimeConfig): Problem[] {
  const scheduler = process?.scheduler;
  if (scheduler === undefined) return [];
  const at = "/process/scheduler";
  const { policy, nice = 0, priority = 0, flags = [], runtime = 0, deadline = 0, period = 0 } = scheduler;
  const isRealtime = policy === "SCHED_FIFO" || policy === "SCHED_RR";
  return [
    ...unknownName(schedulingPolicies, policy, `${at}/policy`),
    ...flags.flatMap((flag, index) => unknownName(schedulingFlags, flag, `${at}/flags/${index}`)),
    // KERNEL: sched(7): nice values and static priorities.
    ...problemIf(nice < -20 || nice > 19, `${at}/nice`, `${nice} is not from -20 to 19`),
    ...problemIf(
      isRealtime && (priority < 1 || priority > 99),
      `${at}/priority`,
      `${policy} needs one from 1 to 99, and this is ${priority}`,
    ),
    ...problemIf(!isRealtime && priority !== 0, `${at}/priority`, "only SCHED_FIFO and SCHED_RR have one"),
    ...(policy === "SCHED_DEADLINE"
      ? findDeadlineProblems({ runtime, deadline, period })
      : Object.entries({ runtime, deadline, period }).flatMap(([key, value]) =>
          problemIf(value !== 0, `${at}/${key}`, "only SCHED_DEADLINE has one"),
        )),
  ];
}

/** KERNEL: sched(7), SCHED_DEADLINE: runtime <= deadline <= period, each at least 1024 ns and below 2^63; a period of 0 is the deadline. */
function findDeadlineProblems({ runtime, deadline, period }: { runtime: number; deadline: number; period: number }): Problem[] {
  const at = "/process/scheduler";
  const isOutside = (value: number): boolean => value < 1024 || value >= 2 ** 63;
  return [
    ...problemIf(isOutside(runtime), `${at}/runtime`, `SCHED_DEADLINE needs one of at least 1024 ns, and this is ${runtime}`),
    ...problemIf(isOutside(deadline), `${at}/deadline`, `SCHED_DEADLINE needs one of at least 1024 ns, and this is ${deadline}`),
    ...problemIf(period !== 0 && isOutside(period), `${at}/period`, `${period} is neither 0 nor at least 1024 ns`),
    ...problemIf(runtime > deadline, `${at}/runtime`, `${runtime} is above the deadline ${deadline}`),
    ...problemIf(period !== 0 && deadline > period, `${at}/deadline`, `${deadline} is above the period ${period}`),
  ];
}

function findMemoryPolicyProblems({ linux }: RuntimeConfig): Problem[] {
  const policy = linux?.memoryPolicy;
  if (policy === undefined) return [];
  const at = "/linux/memoryPolicy";
  const { mode, nodes = "", flags = [] } = policy;
  const numbers = parseNumberList(nodes, nodeLimit);
  // @see set_mempolicy(2)
  const takesNone = mode === "MPOL_DEFAULT" || mode === "MPOL_LOCAL";
  const needsSome = !takesNone && mode !== "MPOL_PREFERRED" && numberOf(memoryModes, mode) !== undefined;
  const hasBoth = flags.includes("MPOL_F_STATIC_NODES") && flags.includes("MPOL_F_RELATIVE_NODES");
  return [
    ...unknownName(memoryModes, mode, `${at}/mode`),
    ...flags.flatMap((flag, index) => unknownName(memoryFlags, flag, `${at}/flags/${index}`)),
    ...problemIf(hasBoth, `${at}/flags`, "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other"),
    ...problemIf(numbers === undefined, `${at}/nodes`, `"${nodes.slice(0, 80)}" is no list such as 0-3,7`),
    ...problemIf(takesNone && (numbers ?? []).length > 0, `${at}/nodes`, `${mode} takes no nodes`),
    ...problemIf(needsSome && numbers?.length === 0, `${at}/nodes`, `${mode} needs at least one node`),
  ];
}

function unknownName(table: Readonly<Record<string, number>>, name: string, at: string): readonly Problem[] {
  return problemIf(numberOf(table, name) === undefined, at, `"${name.slice(0, 80)}" is none of ${Object.keys(table).join(", ")}`);
}
