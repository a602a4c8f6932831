/** Rules about `linux.seccomp`. @see runtime-spec config-linux.md#seccomp */
import type { RuntimeConfig } from "../runtime-config.ts";
import {
  hasSeccompFilter,
  seccompReturnValue,
  takesErrno,
  type SeccompAction,
  type SeccompConfig,
  type SeccompSyscall,
} from "../seccomp.ts";
import { problemIf, type Check, type Problem } from "./problem.ts";

const at = "/linux/seccomp";

/** KERNEL: a system call has at most six arguments; struct seccomp_data. */
const argumentLimit = 6;

/** The filter's answer has 16 bits for it, and of an errno above 4095 the kernel makes that (SECCOMP_RET_DATA, MAX_ERRNO). */
function errnoProblems(action: SeccompAction, errno: number | undefined, place: string): readonly Problem[] {
  if (errno === undefined) return [];
  const limit = action === "SCMP_ACT_TRACE" ? 65535 : 4095;
  return [
    // SPEC: "When the action doesn't support an errno, the runtime MUST print and error and fail."
    ...problemIf(!takesErrno(action), place, `${action} has no errno`),
    ...problemIf(errno > limit, place, `${errno} is above ${limit}`),
  ];
}

function check(name: string, find: (seccomp: SeccompConfig) => readonly Problem[]): Check {
  return { name, find: ({ linux }: RuntimeConfig) => (linux?.seccomp === undefined ? [] : find(linux.seccomp)) };
}

function eachSyscall(find: (rule: SeccompSyscall, at: string) => readonly Problem[]): (seccomp: SeccompConfig) => readonly Problem[] {
  return ({ syscalls = [] }) => syscalls.flatMap((rule, index) => find(rule, `${at}/syscalls/${index}`));
}

export const seccompChecks: readonly Check[] = [
  check("seccomp.defaultAction is there when there are rules", (seccomp) =>
    problemIf(!hasSeccompFilter(seccomp) && (seccomp.syscalls ?? []).length > 0, at, "defaultAction is missing"),
  ),
  check("seccomp.defaultErrnoRet goes with an action that has an errno", ({ defaultAction = "", defaultErrnoRet }) =>
    defaultAction === "" ? [] : errnoProblems(defaultAction, defaultErrnoRet, `${at}/defaultErrnoRet`),
  ),
  check(
    "seccomp.syscalls[].errnoRet goes with an action that has an errno",
    eachSyscall(({ action, errnoRet }, place) => errnoProblems(action, errnoRet, `${place}/errnoRet`)),
  ),
  check(
    "seccomp.syscalls[].names has at least one name, and none is empty",
    eachSyscall(({ names }, place) => [
      ...problemIf(names.length === 0, `${place}/names`, "at least one name is needed"),
      ...problemIf(names.includes(""), `${place}/names/${names.indexOf("")}`, "it is empty"),
    ]),
  ),
  check(
    "seccomp.syscalls[].args[].index is from 0 to 5",
    eachSyscall(({ args = [] }, place) =>
      args.flatMap(({ index }, number) =>
        problemIf(index >= argumentLimit, `${place}/args/${number}/index`, `${index} is not from 0 to ${argumentLimit - 1}`),
      ),
    ),
  ),
  check("seccomp.syscalls[] do not contradict each other", findContradictions),
  check("seccomp.listenerPath is there when a system call is handed to a listener", findListenerProblems),
];

/** Two rules of one system call with the same conditions and other actions; libseccomp refuses them as well (EEXIST). */
function findContradictions({ defaultAction = "", defaultErrnoRet, syscalls = [] }: SeccompConfig): readonly Problem[] {
  const seen = new Map<string, number>();
  return syscalls.flatMap(({ names, action, errnoRet, args = [] }, index) => {
    const value = seccompReturnValue(action, errnoRet);
    const isDefault = defaultAction !== "" && value === seccompReturnValue(defaultAction, defaultErrnoRet);
    if (args.length === 0 || isDefault) return [];
    const conditions = args.map(
      (arg) => `${arg.index} ${arg.op} ${arg.value} ${arg.op === "SCMP_CMP_MASKED_EQ" ? (arg.valueTwo ?? 0) : ""}`,
    );
    const key = conditions.toSorted().join(", ");
    return names.flatMap((name) => {
      const earlier = seen.get(`${name} ${key}`) ?? value;
      seen.set(`${name} ${key}`, earlier);
      return problemIf(earlier !== value, `${at}/syscalls/${index}`, `another rule for ${name} has the same conditions and another action`);
    });
  });
}

function findListenerProblems({
  defaultAction,
  syscalls = [],
  listenerPath = "",
  listenerMetadata = "",
}: SeccompConfig): readonly Problem[] {
  const usesListener = syscalls.some(({ action }) => action === "SCMP_ACT_NOTIFY");
  return [
    // As runc: whoever hands over the listener would be stopped by it.
    ...problemIf(defaultAction === "SCMP_ACT_NOTIFY", `${at}/defaultAction`, "SCMP_ACT_NOTIFY cannot be the default"),
    ...problemIf(usesListener && listenerPath === "", at, "listenerPath is missing, and a rule has SCMP_ACT_NOTIFY"),
    ...problemIf(usesListener && listenerPath !== "" && !listenerPath.startsWith("/"), `${at}/listenerPath`, "it is no absolute path"),
    ...problemIf(listenerMetadata !== "" && listenerPath === "", `${at}/listenerMetadata`, "it needs a listenerPath"),
  ];
}
