/** Why some files of the suite are not passed: each is a fact about the file, the specification or the kernel, and none is a plan. */

/** What is so when a file is not passed: its own mistake, something this kernel or machine lacks, or a newer specification. */
export type Cause = "wrong test" | "impossible on this kernel" | "contradicts spec 1.3" | "against practice";

/** The explanations, by file. A file that fails and is not here has no excuse. */
export const explanations: Readonly<Record<string, readonly [Cause, string]>> = {
  delete: ["against practice", "It wants `delete` of a created container to fail; runc and crun remove it, and engines rely on that."],
  delete_resources: ["wrong test", "It compares the addresses of two `pids.limit` values, not the values."],
  hooks: ["wrong test", "The output that it expects is not what its own hooks write, and then it crashes."],
  linux_cgroups_blkio: ["impossible on this kernel", "`blkio.leaf_weight` and the weights of CFQ went with Linux 5.0."],
  linux_cgroups_memory: ["impossible on this kernel", "`memory.kmem.limit_in_bytes` can no longer be set (since Linux 5.16)."],
  linux_cgroups_network: ["impossible on this kernel", "The net_cls and net_prio controllers are not built in."],
  linux_cgroups_pids: ["wrong test", "It compares the addresses of two `pids.limit` values, not the values."],
  linux_cgroups_relative_blkio: ["impossible on this kernel", "`blkio.leaf_weight` and the weights of CFQ went with Linux 5.0."],
  linux_cgroups_relative_memory: ["impossible on this kernel", "`memory.kmem.limit_in_bytes` can no longer be set (since Linux 5.16)."],
  linux_cgroups_relative_network: ["impossible on this kernel", "The net_cls and net_prio controllers are not built in."],
  linux_cgroups_relative_pids: ["wrong test", "It compares the addresses of two `pids.limit` values, not the values."],
  linux_mount_label: ["impossible on this kernel", "SELinux is not active, and a label that cannot be applied is refused, never dropped."],
  linux_process_apparmor_profile: [
    "impossible on this kernel",
    "AppArmor is not active, and a profile that cannot be applied is refused, never dropped.",
  ],
  misc_props: ["wrong test", "Its first case runs `/runtimetest`, which it has not copied into the bundle."],
  pidfile: [
    "wrong test",
    "Its container runs `true`, which has mostly ended when the test kills it, and that is an error: Gantry and runc pass one time in ten.",
  ],
  poststart_fail: [
    "contradicts spec 1.3",
    "It wants a warning when a poststart hook fails, as until 1.2; 1.3 says that an error is generated.",
  ],
  prestart: ["contradicts spec 1.3", "It wants prestart hooks to run at `start`, as until 1.0; they belong to `create`."],
  process_capabilities: [
    "impossible on this kernel",
    "It asks for every capability, and this machine's bounding set lacks CAP_SYS_RESOURCE.",
  ],
  process_capabilities_fail: [
    "contradicts spec 1.3",
    "It wants an error for an unknown capability; since 1.1 the runtime must warn and go on.",
  ],
  process_rlimits: ["wrong test", "Its probe is a Go program, whose start raises the soft limit of open files that it is to report."],
  start: ["against practice", "Its last case wants `create` and `start` of a configuration without a process to succeed."],
};
