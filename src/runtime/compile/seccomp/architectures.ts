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
  /** The number of a call, without `base`; the table is parsed when it is first asked. */
  readonly numberOf: (name: string) => number | undefined;
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
    numberOf: table(x86_64),
  },
  {
    architecture: "SCMP_ARCH_X32",
    auditNumber: 0xc000_003e,
    base: x32Bit,
    hasNarrowArguments: true,
    multiplexes: false,
    numberOf: table(x32),
  },
  { architecture: "SCMP_ARCH_X86", auditNumber: 0x4000_0003, base: 0, hasNarrowArguments: true, multiplexes: true, numberOf: table(x86) },
];

const armFamily: readonly SystemCallInterface[] = [
  {
    architecture: "SCMP_ARCH_AARCH64",
    auditNumber: 0xc000_00b7,
    base: 0,
    hasNarrowArguments: false,
    multiplexes: false,
    numberOf: table(aarch64),
  },
  { architecture: "SCMP_ARCH_ARM", auditNumber: 0x4000_0028, base: 0, hasNarrowArguments: true, multiplexes: false, numberOf: table(arm) },
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

/** How a call is made through another: that one's name, and the value of its first argument. */
export interface Multiplexer {
  readonly name: "socketcall" | "ipc";
  readonly call: number;
}

/** Calls that i386 can also make through another one. @see linux/net.h, SYS_*; linux/ipc.h */
export const multiplexers: ReadonlyMap<string, Multiplexer> = new Map([
  ...through("socketcall", 1, "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom"),
  ...through("socketcall", 13, "shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg"),
  ...through("ipc", 1, "semop semget semctl semtimedop"),
  ...through("ipc", 11, "msgsnd msgrcv msgget msgctl"),
  ...through("ipc", 21, "shmat shmdt shmget shmctl"),
]);

function through(name: Multiplexer["name"], first: number, calls: string): (readonly [string, Multiplexer])[] {
  return calls.split(" ").map((call, index) => [call, { name, call: first + index }]);
}

function table(text: string): (name: string) => number | undefined {
  let numbers: Readonly<Record<string, unknown>> | undefined;
  return (name) => {
    numbers ??= JSON.parse(text) as Readonly<Record<string, unknown>>;
    // "constructor" and the like are no numbers.
    const number = numbers[name];
    return typeof number === "number" ? number : undefined;
  };
}
