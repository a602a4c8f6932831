/** The system call interfaces of this machine's kernel: their numbers, and how the kernel names them to a filter. */
import type { SeccompArchitecture } from "#spec/seccomp.ts";
import { aarch64, arm, x32, x86, x86_64 } from "./syscalls.gen.ts";

/** One interface of the kernel: the numbers of its system calls and how it passes arguments. */
export interface SystemCallInterface {
  readonly architecture: SeccompArchitecture;
  /** AUDIT_ARCH_*: `arch` of struct seccomp_data. @see linux/audit.h */
  readonly auditNumber: number;
  /** Added to all its numbers. */
  readonly base: number;
  /** Whether only the lower 32 bits of an argument count. */
  readonly hasNarrowArguments: boolean;
  /** Whether socket and IPC calls can also be made through `socketcall` and `ipc`. */
  readonly multiplexes: boolean;
  /** The numbers by name, without `base`; parsed when they are first asked for. */
  readonly numbers: () => ReadonlyMap<string, number>;
}

/** KERNEL: x86_64 and x32 share an audit number; numbers of x32 have this bit. @see __X32_SYSCALL_BIT */
export const x32Bit = 0x4000_0000;

const x86Family: readonly SystemCallInterface[] = [
  {
    architecture: "SCMP_ARCH_X86_64",
    auditNumber: 0xc000_003e,
    base: 0,
    hasNarrowArguments: false,
    multiplexes: false,
    numbers: table(x86_64),
  },
  {
    architecture: "SCMP_ARCH_X32",
    auditNumber: 0xc000_003e,
    base: x32Bit,
    hasNarrowArguments: true,
    multiplexes: false,
    numbers: table(x32),
  },
  { architecture: "SCMP_ARCH_X86", auditNumber: 0x4000_0003, base: 0, hasNarrowArguments: true, multiplexes: true, numbers: table(x86) },
];

const armFamily: readonly SystemCallInterface[] = [
  {
    architecture: "SCMP_ARCH_AARCH64",
    auditNumber: 0xc000_00b7,
    base: 0,
    hasNarrowArguments: false,
    multiplexes: false,
    numbers: table(aarch64),
  },
  { architecture: "SCMP_ARCH_ARM", auditNumber: 0x4000_0028, base: 0, hasNarrowArguments: true, multiplexes: false, numbers: table(arm) },
];

/**
 * The interfaces of a machine that a profile is about, the machine's own first; undefined for a machine that is not known.
 *
 * The own one is always there, as libseccomp has it. What the profile says of other machines' architectures has no effect: the
 * kernel never names them.
 */
export function interfacesOf(machine: string, asked: readonly SeccompArchitecture[]): readonly SystemCallInterface[] | undefined {
  const family = machine === "x64" ? x86Family : machine === "arm64" ? armFamily : undefined;
  return family?.filter(({ architecture }, index) => index === 0 || asked.includes(architecture));
}

/** Numbers of calls inside `socketcall`. @see linux/net.h, SYS_* */
const socketCalls =
  "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg";
/** Numbers of calls inside `ipc`. @see linux/ipc.h */
const ipcCalls: ReadonlyMap<string, number> = new Map([
  ["semop", 1],
  ["semget", 2],
  ["semctl", 3],
  ["semtimedop", 4],
  ["msgsnd", 11],
  ["msgrcv", 12],
  ["msgget", 13],
  ["msgctl", 14],
  ["shmat", 21],
  ["shmdt", 22],
  ["shmget", 23],
  ["shmctl", 24],
]);

/** How a call is made through another: that one's name, and the value of its first argument. */
export function findMultiplexer(name: string): { readonly name: "socketcall" | "ipc"; readonly call: number } | undefined {
  const socketCall = socketCalls.split(" ").indexOf(name) + 1;
  if (socketCall > 0) return { name: "socketcall", call: socketCall };
  const call = ipcCalls.get(name);
  return call === undefined ? undefined : { name: "ipc", call };
}

function table(text: string): () => ReadonlyMap<string, number> {
  let numbers: Map<string, number> | undefined;
  return () => (numbers ??= parseTable(text));
}

/** Reads a text of syscalls.gen.ts. */
function parseTable(text: string): Map<string, number> {
  const numbers = new Map<string, number>();
  let next = 0;
  for (const word of text.trim().split(/\s/)) {
    const first = word.charCodeAt(0);
    // No name starts with a digit.
    if (first >= 0x30 && first <= 0x39) next = Number(word);
    else numbers.set(word, next++);
  }
  return numbers;
}
