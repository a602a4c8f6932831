/**
 * Profiles of system calls in Docker's form: `linux.seccomp` with conditions, which are resolved for one machine and container.
 *
 * Facts from moby's profiles/seccomp (2026): `archMap` gives each machine its architectures; a rule holds where everything that it
 * `includes` is so and nothing that it `excludes`. podman's and containers-common's profiles have the same form.
 */
import { CodedError } from "#base/errors.ts";
import { parseJsonKeepingDigits } from "#base/json.ts";
import { isKernelAtLeast } from "#runtime/facts.ts";
import {
  seccompActionNames,
  seccomp,
  seccompArchitectures,
  seccompArgument,
  type SeccompConfig,
  type SeccompSyscall,
} from "#spec/seccomp.ts";
import { list, object, oneOf, text, uint32, type Infer } from "#spec/shape.ts";

const condition = object({}, { arches: list(text), caps: list(text), minKernel: text });
const rule = object(
  { action: oneOf(...seccompActionNames) },
  { name: text, names: list(text), errnoRet: uint32, args: list(seccompArgument), includes: condition, excludes: condition },
);
const form = object(
  {},
  {
    archMap: list(object({ architecture: oneOf(...seccompArchitectures) }, { subArchitectures: list(oneOf(...seccompArchitectures)) })),
    syscalls: list(rule),
  },
);

type Rule = Infer<typeof rule>;
type Condition = Infer<typeof condition>;

/** A profile as its author wrote it. */
export interface SeccompProfile {
  /** What holds for every container; `syscalls` and, with `archMap`, `architectures` are still missing. */
  readonly common: SeccompConfig;
  readonly archMap: NonNullable<Infer<typeof form>["archMap"]>;
  readonly rules: readonly Rule[];
}

/** What the conditions of a profile are about. */
export interface SeccompSubject {
  /** Node's word for the machine. */
  readonly machine: string;
  /** The kernel's version: "6.1.0-18-amd64". */
  readonly kernel: string;
  /** The capabilities that the process can have. */
  readonly bounding: readonly string[];
}

/** Machines by Node's word: the profile's word for them, and their own architecture. */
const machines: Readonly<Record<string, readonly [word: string, own: string]>> = {
  x64: ["amd64", "SCMP_ARCH_X86_64"],
  arm64: ["arm64", "SCMP_ARCH_AARCH64"],
};

/**
 * Reads a profile in Docker's form or that of `linux.seccomp`; `path` names it in errors.
 * @throws CodedError `invalid-spec`
 */
export function parseSeccompProfile(content: string, path: string): SeccompProfile {
  const fail = (why: string, cause?: unknown): CodedError => new CodedError("invalid-spec", `cannot read ${path}: ${why}`, { cause });
  let value: unknown;
  try {
    value = parseJsonKeepingDigits(content);
  } catch (cause) {
    throw fail("it is no JSON", cause);
  }
  if (typeof value !== "object" || value === null) throw fail("it is no object");
  try {
    const { archMap = [], syscalls = [] } = form(value, "");
    const common = seccomp({ ...value, syscalls: undefined }, "");
    if (archMap.length > 0 && (common.architectures ?? []).length > 0) throw fail("it has both architectures and archMap");
    for (const [index, one] of syscalls.entries()) checkRule(one, `/syscalls/${index}`, fail);
    return { common, archMap, rules: syscalls };
  } catch (cause) {
    if (cause instanceof CodedError && !cause.message.startsWith("cannot read")) throw fail(cause.message, cause);
    throw cause;
  }
}

function checkRule({ name = "", names = [], includes, excludes }: Rule, at: string, fail: (why: string) => CodedError): void {
  if ((name === "") === (names.length === 0)) throw fail(`${at} must have one of name and names`);
  for (const { minKernel } of [includes ?? {}, excludes ?? {}])
    if (minKernel !== undefined && !/^\d+\.\d+/.test(minKernel))
      throw fail(`${at}: ${JSON.stringify(minKernel)} is no version of a kernel`);
}

/** The profile for one container. */
export function resolveSeccompProfile({ common, archMap, rules }: SeccompProfile, subject: SeccompSubject): SeccompConfig {
  const [, own] = machines[subject.machine] ?? [];
  const mapped = archMap.find(({ architecture }) => architecture === own);
  return {
    ...common,
    ...(mapped === undefined ? {} : { architectures: [mapped.architecture, ...(mapped.subArchitectures ?? [])] }),
    syscalls: rules.filter((one) => holds(one, subject)).map(withoutConditions),
  };
}

function withoutConditions({ name = "", names = [], action, errnoRet, args = [] }: Rule): SeccompSyscall {
  return {
    names: name === "" ? names : [name],
    action,
    ...(errnoRet === undefined ? {} : { errnoRet }),
    ...(args.length === 0 ? {} : { args }),
  };
}

/** As moby: one thing that is excluded is enough, but all that is included must be so; of machines there is only one. */
function holds({ includes = {}, excludes = {} }: Rule, subject: SeccompSubject): boolean {
  const [word = subject.machine] = machines[subject.machine] ?? [];
  const has = ({ arches = [] }: Condition): boolean => arches.includes(word);
  const isNew = ({ minKernel = "" }: Condition): boolean => minKernel !== "" && isAtLeast(subject.kernel, minKernel);
  const held = (name: string): boolean => subject.bounding.includes(name);
  if (has(excludes) || (excludes.caps ?? []).some(held) || isNew(excludes)) return false;
  if ((includes.arches ?? []).length > 0 && !has(includes)) return false;
  return (includes.caps ?? []).every(held) && ((includes.minKernel ?? "") === "" || isNew(includes));
}

function isAtLeast(version: string, wanted: string): boolean {
  const [major = 0, minor = 0] = wanted.split(".").map((part) => Number.parseInt(part, 10));
  return isKernelAtLeast(version, major, minor);
}
