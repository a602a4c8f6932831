/**
 * Annotations that runtimes have given a meaning: which are obeyed here, which are refused and which are passed over, with the reasons.
 * All others are the caller's own and mean nothing to a runtime. @see runtime-spec config.md#annotations; crun(1), "Extensions to OCI"
 */
import { isAbsolute } from "node:path";
import type { Step } from "#program/encode.ts";
import type { RuntimeConfig } from "#spec/runtime-config.ts";
import { step, unsupported } from "./context.ts";

/** What is done, by name; a name that ends in "." stands for all that begin so. */
export const obeyedAnnotations: Readonly<Record<string, string>> = {
  "org.criu.config": "settings of criu for this container, instead of those of /etc/criu/runc.conf",
  "org.systemd.property.": "a property of the container's systemd unit",
  "run.oci.hooks.stderr": "a file that the standard error of hooks is appended to",
  "run.oci.hooks.stdout": "a file that the standard output of hooks is appended to",
  "run.oci.keep_original_groups": "the process keeps the groups of the runtime's caller",
  "run.oci.mount_context_type": "the mount option that `linux.mountLabel` is given by",
  "run.oci.pidfd_receiver": "a unix socket that gets a pidfd of the container, as by `--pidfd-socket`",
};

/** Why a container with it is not made. */
export const refusedAnnotations: Readonly<Record<string, string>> = {
  "run.oci.handler": "programs are executed by this machine's kernel, and no handler such as krun or wasm is built in",
};

/** Why it has no effect, which is warned of. */
export const ignoredAnnotations: Readonly<Record<string, string>> = {
  "run.oci.delegate-cgroup": "a container with a cgroup namespace makes cgroups below its own by itself",
  "run.oci.seccomp.plugins": "nothing is loaded into the runtime; `linux.seccomp.listenerPath` names an agent",
  "run.oci.seccomp.receiver": "`linux.seccomp.listenerPath` has replaced it",
  "run.oci.seccomp_bpf_data": "the filter is that of `linux.seccomp`",
  "run.oci.seccomp_fail_unknown_syscall": "names of system calls that this kernel does not have are passed over, as the specification says",
  "run.oci.systemd.force_cgroup_v1": "the config's mounts are made as they are",
  "run.oci.systemd.subgroup": "the container's processes are in the unit itself, as under runc",
};

const at = (name: string): string => `/annotations/${name}`;

/** Refuses what cannot be obeyed, and says what is passed over. @throws CodedError `unsupported` */
export function checkAnnotations({ annotations = {} }: RuntimeConfig, warn: (sentence: string) => void): void {
  for (const [name, why] of Object.entries(refusedAnnotations)) if ((annotations[name] ?? "") !== "") throw unsupported(at(name), why);
  for (const [name, why] of Object.entries(ignoredAnnotations)) if ((annotations[name] ?? "") !== "") warn(`ignored ${at(name)}: ${why}`);
}

/** Where the output of hooks goes; none when the config has no hooks or does not say. @throws CodedError `unsupported` for a relative path */
export function compileHookOutputs({ annotations = {}, hooks = {} }: RuntimeConfig): Step[] {
  if (!Object.values(hooks).some((list) => (list ?? []).length > 0)) return [];
  return ["stdout", "stderr"].flatMap((stream, index) => {
    const name = `run.oci.hooks.${stream}`;
    const path = annotations[name] ?? "";
    if (path === "") return [];
    if (!isAbsolute(path)) throw unsupported(at(name), "its path is not absolute");
    return [step({ op: "hook-output", fd: index + 1, path }, at(name))];
  });
}
