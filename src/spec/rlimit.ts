/** Resource limits by name. */

/** RLIMIT_* numbers of asm-generic/resource.h, which all architectures but alpha, mips and sparc use. */
const numbers: Readonly<Record<string, number>> = {
  RLIMIT_CPU: 0,
  RLIMIT_FSIZE: 1,
  RLIMIT_DATA: 2,
  RLIMIT_STACK: 3,
  RLIMIT_CORE: 4,
  RLIMIT_RSS: 5,
  RLIMIT_NPROC: 6,
  RLIMIT_NOFILE: 7,
  RLIMIT_MEMLOCK: 8,
  RLIMIT_AS: 9,
  RLIMIT_LOCKS: 10,
  RLIMIT_SIGPENDING: 11,
  RLIMIT_MSGQUEUE: 12,
  RLIMIT_NICE: 13,
  RLIMIT_RTPRIO: 14,
  RLIMIT_RTTIME: 15,
};

/** Whether `name` is one that `numberOfRlimit` knows. */
export function isNameOfRlimit(name: string): boolean {
  return Object.hasOwn(numbers, name);
}

/** The kernel's number of a limit such as "RLIMIT_NOFILE"; `undefined` for an unknown name. */
export function numberOfRlimit(name: string): number | undefined {
  return Object.hasOwn(numbers, name) ? numbers[name] : undefined;
}

/** The name of a limit's number, such as "RLIMIT_NOFILE". */
export function nameOfRlimit(number: number): string {
  return Object.keys(numbers).find((name) => numbers[name] === number) ?? `RLIMIT_${number}`;
}
