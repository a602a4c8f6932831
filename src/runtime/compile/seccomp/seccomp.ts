/**
 * `linux.seccomp` as steps.
 *
 * The filter is kept by a step of its own and loaded by `exec` as its last call before execve(), whether noNewPrivileges is set or
 * not: so a profile needs to allow what the container's program does, and nothing of what its making does. In a container that is
 * created first, that is after `start`. (runc loads a filter before it drops capabilities when noNewPrivileges is not set, since that
 * needs CAP_SYS_ADMIN; here the process keeps the capability up to execve(), which takes it away: capabilities(7), "Transformation of
 * capabilities during execve()", has neither the permitted nor the effective set on its right-hand sides.)
 */
import type { Step } from "#program/encode.ts";
import { hasSeccompFilter, seccompFlags, seccompReturnValue } from "#spec/seccomp.ts";
import { step, unsupported, type Context } from "../context.ts";
import { interfacesOf, numberOf } from "./architectures.ts";
import { compileSeccompFilter, type Profile } from "./filter.ts";
import { collectRules, defaultAnswer } from "./rules.ts";

/** The steps about the filter, by the moment at which they run. */
export interface SeccompPlan {
  /** By the parent, before the clone: its paths and rights are the caller's. */
  readonly beforeClone: readonly Step[];
  /** By the child, before `exec`. */
  readonly inChild: readonly Step[];
}

const at = "/linux/seccomp";
const stateVersion = "1.3.0";

/** Whether the process must keep CAP_SYS_ADMIN up to execve(), to load its filter. KERNEL: kernel/seccomp.c, seccomp_prepare_filter() */
export function needsAdministratorForFilter({ linux, config }: Pick<Context, "linux" | "config">): boolean {
  return hasSeccompFilter(linux.seccomp) && config.process?.noNewPrivileges !== true;
}

/** Compiles `linux.seccomp`. @throws CodedError `unsupported` when this machine's system calls are unknown or the filter is too long. */
export function compileSeccomp({ linux, config, id, bundle, facts }: Context): SeccompPlan {
  const { seccomp } = linux;
  if (!hasSeccompFilter(seccomp)) return { beforeClone: [], inChild: [] };
  const filter = compileSeccompFilter(seccomp, facts.arch);
  if (filter === undefined) throw unsupported(at, `the system calls of ${facts.arch} are not known`);
  const usesListener = (seccomp.syscalls ?? []).some(({ action }) => action === "SCMP_ACT_NOTIFY");
  const flags = filterFlags(seccomp, usesListener);
  if (!usesListener) return { beforeClone: [], inChild: [step({ op: "seccomp", flags, filter }, at)] };
  requireSendmsg(seccomp, facts.arch);
  const origin = `${at}/listenerPath`;
  const message = stateMessage({ metadata: seccomp.listenerMetadata ?? "", id, bundle, annotations: config.annotations ?? {} });
  return {
    beforeClone: [step({ op: "open-listener", path: seccomp.listenerPath ?? "" }, origin)],
    inChild: [step({ op: "seccomp-listener", flags, filter, message }, at)],
  };
}

/** SECCOMP_FILTER_FLAG_* as asked for; without a list, SPEC_ALLOW as in runc and crun: no slower branches for a filter's sake. */
function filterFlags({ flags = ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"] }: Profile, usesListener: boolean): number {
  let mask = 0;
  for (const flag of flags) {
    // There is one thread, so none to synchronise; and where nobody is notified, nobody waits for it (the kernel says EINVAL).
    const isIdle = flag === "SECCOMP_FILTER_FLAG_TSYNC" || (flag === "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" && !usesListener);
    if (!isIdle) mask |= seccompFlags[flag];
  }
  return mask;
}

/**
 * The listener's descriptor is born with the filter and dies with execve(), so it must be sent between the two.
 * runc, which writes its number to a pipe, forbids to notify `write` for the same reason.
 */
function requireSendmsg(profile: Profile, machine: string): void {
  const [own] = interfacesOf(machine, []) ?? [];
  if (own === undefined) return;
  const otherwise = defaultAnswer(profile);
  const [rules] = collectRules(profile.syscalls ?? [], [own], otherwise);
  const fate = rules?.fates[numberOf(own, "sendmsg") ?? -1] ?? otherwise;
  const allowing = [seccompReturnValue("SCMP_ACT_ALLOW"), seccompReturnValue("SCMP_ACT_LOG")];
  if (typeof fate !== "number" || !allowing.includes(fate))
    throw unsupported(`${at}/syscalls`, "with SCMP_ACT_NOTIFY, sendmsg must be allowed: the listener is handed over by it");
}

/** The container process state, cut where the pid goes. @see runtime-spec config-linux.md#the-container-process-state */
function stateMessage(about: { metadata: string; id: string; bundle: string; annotations: Readonly<Record<string, string>> }): string[] {
  const { metadata, id, bundle, annotations } = about;
  const json = JSON.stringify;
  const extra = metadata === "" ? "" : `,"metadata":${json(metadata)}`;
  return [
    `{"ociVersion":"${stateVersion}","fds":["seccompFd"],"pid":`,
    `${extra},"state":{"ociVersion":"${stateVersion}","id":${json(id)},"status":"creating","pid":`,
    `,"bundle":${json(bundle)},"annotations":${json(annotations)}}}`,
  ];
}
