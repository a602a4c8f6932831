/**
 * What security modules and the key service are told of the container: AppArmor profile, SELinux labels, session keyring.
 *
 * The labels of the next exec are written first of all, through the host's /proc: the container's own could be made to lead
 * elsewhere (CVE-2019-16884, CVE-2019-19921, CVE-2025-52881). They hold until the process executes.
 *
 * Where the kernel has no such module, a label is left out with a warning: it is the host's policy, which callers put into
 * every config, and nothing here could enforce it. `features` tells which modules there are. @see runtime-spec features-linux.md
 */
import type { Step } from "#program/encode.ts";
import type { ConfigProcess } from "#spec/runtime-config.ts";
import { byDefault, step, unsupported, type Context } from "./context.ts";
import { procSuperMagic } from "./kernel.ts";

/** Compiles `process.apparmorProfile` and `process.selinuxLabel`: the child's first steps, while it sees the host's /proc. */
export function compileLabels(context: Context, process: ConfigProcess): Step[] {
  return [...compileAppArmor(context, process), ...compileSelinux(context, process)];
}

/**
 * Compiles the container's own session keyring, without which it would have the keys of the runtime's caller; `exec` joins it.
 * Made by the container's root: KERNEL: security/keys/keyring.c, find_keyring_by_name(): one whose owner the user namespace does not
 * know is not found there. @see keyrings(7), session-keyring(7)
 */
export function compileKeyring({ id, hasUserNamespace }: Context): Step[] {
  // KEY_USR_SEARCH, to be found again; KEY_OTH_SEARCH: in a user namespace, processes of other ids belong to the container too.
  const permissions = hasUserNamespace ? 0x8_0008 : 0x8_0000;
  return [step({ op: "session-keyring", name: `_ses.${id}`, permissions }, byDefault("the caller's keys are not the container's"))];
}

function compileAppArmor({ facts, warn }: Context, { apparmorProfile = "", noNewPrivileges }: ConfigProcess): Step[] {
  const origin = "/process/apparmorProfile";
  if (apparmorProfile === "") return [];
  const state = facts.readAppArmor();
  if (state === "off") {
    warn(`ignored ${origin}: AppArmor is not enabled in this kernel`);
    return [];
  }
  // KERNEL: security/apparmor/domain.c: from one profile to another, without gaining privileges, the only way is to have both.
  const word = state === "confined" && noNewPrivileges === true ? "stack" : "exec";
  // KERNEL: AppArmor has a directory of its own there since 5.8; the file beside it may be another module's.
  return [
    step({ op: "write", path: "/proc/self/attr/apparmor/exec", data: `${word} ${apparmorProfile}`, fsMagic: procSuperMagic }, origin),
  ];
}

function compileSelinux({ facts, warn }: Context, { selinuxLabel = "" }: ConfigProcess): Step[] {
  const origin = "/process/selinuxLabel";
  if (selinuxLabel === "") return [];
  if (!facts.isSelinuxEnabled()) {
    warn(`ignored ${origin}: SELinux is not enabled in this kernel`);
    return [];
  }
  // The kernel forgets both when the process executes.
  return ["exec", "keycreate"].map((name) =>
    step({ op: "write", path: `/proc/self/attr/${name}`, data: selinuxLabel, fsMagic: procSuperMagic }, origin),
  );
}

/** The options of mount(8) that a label can go into, and the annotation that chooses. */
const contextTypes: readonly string[] = ["context", "fscontext", "defcontext", "rootcontext"];
const contextTypeAnnotation = "run.oci.mount_context_type";

/** File systems whose files have labels by the policy, which refuses or ignores another for the mount. */
const ownLabels: readonly string[] = ["proc", "sysfs", "mqueue", "cgroup", "cgroup2"];

/**
 * The options that label a new file system of type `fstype` as `linux.mountLabel` says; none where SELinux is not enabled.
 * @throws CodedError `unsupported` for an unknown annotation `run.oci.mount_context_type`.
 */
export function mountLabelOptions({ linux, config, facts }: Context, fstype: string): string[] {
  const label = linux.mountLabel ?? "";
  if (label === "" || ownLabels.includes(fstype) || !facts.isSelinuxEnabled()) return [];
  const type = config.annotations?.[contextTypeAnnotation] ?? "context";
  if (!contextTypes.includes(type)) throw unsupported(`/annotations/${contextTypeAnnotation}`, `it is none of ${contextTypes.join(", ")}`);
  return [`${type}=${label}`];
}

/** The label of message queues is no option of their mount: their directory is given it, once it is there. */
export function compileQueueLabel({ linux, facts }: Context, { fstype, path }: { fstype: string; path: string }): Step[] {
  const label = linux.mountLabel ?? "";
  if (label === "" || fstype !== "mqueue" || !facts.isSelinuxEnabled()) return [];
  return [step({ op: "label-directory", path, label }, "/linux/mountLabel")];
}

/** Says, once, that `linux.mountLabel` has no effect here. */
export function warnOfMountLabel({ linux, facts, warn }: Context): void {
  if ((linux.mountLabel ?? "") !== "" && !facts.isSelinuxEnabled())
    warn("ignored /linux/mountLabel: SELinux is not enabled in this kernel");
}
