/** Names and numbers of scheduling, memory policies and personalities. @see linux/sched.h, linux/ioprio.h, linux/mempolicy.h, linux/personality.h */

/** SCHED_* policies. `SCHED_ISO` has a number and a place in the specification, but no kernel has it. */
export const schedulingPolicies: Readonly<Record<string, number>> = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_ISO: 4,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
};

/** SCHED_FLAG_* bits. */
export const schedulingFlags: Readonly<Record<string, number>> = {
  SCHED_FLAG_RESET_ON_FORK: 0x01,
  SCHED_FLAG_RECLAIM: 0x02,
  SCHED_FLAG_DL_OVERRUN: 0x04,
  SCHED_FLAG_KEEP_POLICY: 0x08,
  SCHED_FLAG_KEEP_PARAMS: 0x10,
  SCHED_FLAG_UTIL_CLAMP_MIN: 0x20,
  SCHED_FLAG_UTIL_CLAMP_MAX: 0x40,
};

/** IOPRIO_CLASS_* numbers. */
export const ioClasses: Readonly<Record<string, number>> = { IOPRIO_CLASS_RT: 1, IOPRIO_CLASS_BE: 2, IOPRIO_CLASS_IDLE: 3 };

/** MPOL_* modes. */
export const memoryModes: Readonly<Record<string, number>> = {
  MPOL_DEFAULT: 0,
  MPOL_PREFERRED: 1,
  MPOL_BIND: 2,
  MPOL_INTERLEAVE: 3,
  MPOL_LOCAL: 4,
  MPOL_PREFERRED_MANY: 5,
  MPOL_WEIGHTED_INTERLEAVE: 6,
};

/** MPOL_F_* bits, which are part of the mode. */
export const memoryFlags: Readonly<Record<string, number>> = {
  MPOL_F_NUMA_BALANCING: 0x2000,
  MPOL_F_RELATIVE_NODES: 0x4000,
  MPOL_F_STATIC_NODES: 0x8000,
};

/** PER_* execution domains. */
export const executionDomains: Readonly<Record<string, number>> = { LINUX: 0, LINUX32: 0x8 };

/** More CPUs than any kernel is built for. */
export const cpuLimit = 8192;
/** KERNEL: get_nodes() in mm/mempolicy.c takes masks of up to a page; NODES_SHIFT is at most 10. */
export const nodeLimit = 1024;

/** The number of `name` in one of the tables above; `undefined` for another name. */
export function numberOf(table: Readonly<Record<string, number>>, name: string): number | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

/** The bits of `names` together; names that are not in `table` have none. */
export function bitsOf(table: Readonly<Record<string, number>>, names: readonly string[]): number {
  return names.reduce((bits, name) => bits | (numberOf(table, name) ?? 0), 0);
}

/** The name of `number` in one of the tables above, or the number. */
export function nameOf(table: Readonly<Record<string, number>>, number: number): string {
  return Object.keys(table).find((name) => table[name] === number) ?? String(number);
}
