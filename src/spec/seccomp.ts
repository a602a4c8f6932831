/**
 * The words of `linux.seccomp`, spelled as in libseccomp's seccomp.h, and the kernel's numbers for them.
 * @see runtime-spec config-linux.md#seccomp; linux/seccomp.h; linux/audit.h
 */
import { exactUint64, list, object, oneOf, text, uint32, type Infer } from "./shape.ts";

/** What becomes of a system call: the upper half of what a filter returns (SECCOMP_RET_*). */
export const seccompActions = {
  SCMP_ACT_KILL: 0x0000_0000,
  SCMP_ACT_KILL_THREAD: 0x0000_0000,
  SCMP_ACT_KILL_PROCESS: 0x8000_0000,
  SCMP_ACT_TRAP: 0x0003_0000,
  SCMP_ACT_ERRNO: 0x0005_0000,
  SCMP_ACT_NOTIFY: 0x7fc0_0000,
  SCMP_ACT_TRACE: 0x7ff0_0000,
  SCMP_ACT_LOG: 0x7ffc_0000,
  SCMP_ACT_ALLOW: 0x7fff_0000,
} as const;

/** An action's name. */
export type SeccompAction = keyof typeof seccompActions;

/** The actions, by name. */
export const seccompActionNames: readonly SeccompAction[] = Object.keys(seccompActions) as SeccompAction[];

/** How an argument is compared. */
export const seccompOperators = [
  "SCMP_CMP_NE",
  "SCMP_CMP_LT",
  "SCMP_CMP_LE",
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_MASKED_EQ",
] as const;

/** Every architecture that a profile may name; the filter has those that this machine's kernel runs. */
export const seccompArchitectures = [
  "SCMP_ARCH_X86",
  "SCMP_ARCH_X86_64",
  "SCMP_ARCH_X32",
  "SCMP_ARCH_ARM",
  "SCMP_ARCH_AARCH64",
  "SCMP_ARCH_MIPS",
  "SCMP_ARCH_MIPS64",
  "SCMP_ARCH_MIPS64N32",
  "SCMP_ARCH_MIPSEL",
  "SCMP_ARCH_MIPSEL64",
  "SCMP_ARCH_MIPSEL64N32",
  "SCMP_ARCH_PPC",
  "SCMP_ARCH_PPC64",
  "SCMP_ARCH_PPC64LE",
  "SCMP_ARCH_S390",
  "SCMP_ARCH_S390X",
  "SCMP_ARCH_PARISC",
  "SCMP_ARCH_PARISC64",
  "SCMP_ARCH_RISCV64",
  "SCMP_ARCH_LOONGARCH64",
  "SCMP_ARCH_M68K",
  "SCMP_ARCH_SH",
  "SCMP_ARCH_SHEB",
] as const;

/** Flags of seccomp(2) that a profile may ask for (SECCOMP_FILTER_FLAG_*). */
export const seccompFlags = {
  SECCOMP_FILTER_FLAG_TSYNC: 1,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 32,
} as const;

/** A flag's name. */
export type SeccompFlag = keyof typeof seccompFlags;

/** The flags, by name. */
export const seccompFlagNames: readonly SeccompFlag[] = Object.keys(seccompFlags) as SeccompFlag[];

const action = oneOf(...seccompActionNames);

/** `linux.seccomp.syscalls[].args[]`. */
export const seccompArgument = object({ index: uint32, value: exactUint64, op: oneOf(...seccompOperators) }, { valueTwo: exactUint64 });

const syscall = object({ names: list(text), action }, { errnoRet: uint32, args: list(seccompArgument) });

/** `linux.seccomp`. */
export const seccomp = object(
  {},
  {
    // Go writes "" for a profile that is none: with no system calls either, it is as if it were not there.
    defaultAction: oneOf("", ...seccompActionNames),
    defaultErrnoRet: uint32,
    architectures: list(oneOf(...seccompArchitectures)),
    flags: list(oneOf(...seccompFlagNames)),
    listenerPath: text,
    listenerMetadata: text,
    syscalls: list(syscall),
  },
);

/** `linux.seccomp`. */
export type SeccompConfig = Infer<typeof seccomp>;
/** `linux.seccomp.syscalls[]`. */
export type SeccompSyscall = Infer<typeof syscall>;
/** `linux.seccomp.syscalls[].args[]`. */
export type SeccompArgument = Infer<typeof seccompArgument>;
/** A name in `linux.seccomp.architectures`. */
export type SeccompArchitecture = (typeof seccompArchitectures)[number];

/** Whether there is a filter at all: an empty object stands for none, as in runc. */
export function hasSeccompFilter(config: SeccompConfig | undefined): config is SeccompConfig & { readonly defaultAction: SeccompAction } {
  return (config?.defaultAction ?? "") !== "";
}

/** Whether an action has room for an errno. */
export function takesErrno(action: SeccompAction): boolean {
  return action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE";
}

const permissionDenied = 1;

/** What a filter returns for an action; EPERM where no errno is given. */
export function seccompReturnValue(action: SeccompAction, errno: number = permissionDenied): number {
  return takesErrno(action) ? (seccompActions[action] | (errno & 0xffff)) >>> 0 : seccompActions[action];
}
