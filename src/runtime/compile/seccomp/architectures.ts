/** The system call interfaces of this machine's kernel: their numbers, and how the kernel names them to a filter. */
import type { SeccompArchitecture } from "#spec/seccomp.ts";
import { armCalls, x86Calls } from "./syscalls.gen.ts";

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
  /** The numbers of calls of all interfaces of the family; parsed when it is first asked. */
  readonly numbers: NumberTable;
  /** Where this interface's number, plus 1, is in what `numbers` gives. */
  readonly place: { readonly shift: number; readonly mask: number };
}

/** What stands for a name in the table of a family: a number for each interface. Undefined for what is no call at all. */
export type NumberTable = (name: string) => number | undefined;

/** The number of a call, without `base`; undefined when the interface has no such call. */
export function numberOf(face: SystemCallInterface, name: string): number | undefined {
  const { shift, mask } = face.place;
  const number = ((face.numbers(name) ?? 0) >>> shift) & mask;
  return number === 0 ? undefined : number - 1;
}

/** KERNEL: x86_64 and x32 share an audit number; numbers of x32 have this bit. @see __X32_SYSCALL_BIT */
export const x32Bit = 0x4000_0000;

const x86Numbers = table(x86Calls);
const armNumbers = table(armCalls);

const x86Family: readonly SystemCallInterface[] = [
  {
    architecture: "SCMP_ARCH_X86_64",
    auditNumber: 0xc000_003e,
    base: 0,
    hasNarrowArguments: false,
    multiplexes: false,
    numbers: x86Numbers,
    place: { shift: 0, mask: 0x3ff },
  },
  {
    architecture: "SCMP_ARCH_X32",
    auditNumber: 0xc000_003e,
    base: x32Bit,
    hasNarrowArguments: true,
    multiplexes: false,
    numbers: x86Numbers,
    place: { shift: 10, mask: 0x3ff },
  },
  {
    architecture: "SCMP_ARCH_X86",
    auditNumber: 0x4000_0003,
    base: 0,
    hasNarrowArguments: true,
    multiplexes: true,
    numbers: x86Numbers,
    place: { shift: 20, mask: 0x3ff },
  },
];

const armFamily: readonly SystemCallInterface[] = [
  {
    architecture: "SCMP_ARCH_AARCH64",
    auditNumber: 0xc000_00b7,
    base: 0,
    hasNarrowArguments: false,
    multiplexes: false,
    numbers: armNumbers,
    place: { shift: 0, mask: 0x3ff },
  },
  {
    architecture: "SCMP_ARCH_ARM",
    auditNumber: 0x4000_0028,
    base: 0,
    hasNarrowArguments: true,
    multiplexes: false,
    numbers: armNumbers,
    place: { shift: 10, mask: 0x3f_ffff },
  },
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

/** What a table gives is at least this when i386 makes the call through another one. */
export const multiplexed: number = 2 ** 30;

/** How i386 makes a call through another one, in what a table gives; undefined when it does not. @see linux/net.h; linux/ipc.h */
export function multiplexerAt(packed: number): Multiplexer | undefined {
  const code = Math.floor(packed / multiplexed) - 1;
  if (code < 0) return undefined;
  return code < 32 ? { name: "socketcall", call: code } : { name: "ipc", call: code - 32 };
}

function table(text: string): NumberTable {
  let numbers: Readonly<Record<string, unknown>> | undefined;
  return (name) => {
    numbers ??= JSON.parse(text) as Readonly<Record<string, unknown>>;
    // "constructor" and the like are no numbers.
    const number = numbers[name];
    return typeof number === "number" ? number : undefined;
  };
}
