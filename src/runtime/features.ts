/**
 * What this runtime understands, for callers that ask before they write a config.json.
 *
 * By the specification it says what the runtime knows, not what this machine can do, so it is the same everywhere.
 * @see runtime-spec features.md, features-linux.md
 */
import { ociRuntimeVersion } from "#spec/oci-version.ts";
import { seccompArchitectures } from "#spec/seccomp.ts";
import { capabilityNames, cloneFlags } from "./compile/kernel.ts";
import { knownMountOptions } from "./compile/mount-options.ts";

/** Names that are not in a table of the compiler. */
const known = {
  hooks: ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
  seccomp: {
    actions: ["ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD", "LOG", "NOTIFY", "TRACE", "TRAP"],
    operators: ["EQ", "GE", "GT", "LE", "LT", "MASKED_EQ", "NE"],
    flags: ["LOG", "SPEC_ALLOW", "TSYNC", "WAIT_KILLABLE_RECV"],
  },
  memoryPolicy: {
    modes: ["BIND", "DEFAULT", "INTERLEAVE", "LOCAL", "PREFERRED", "PREFERRED_MANY", "WEIGHTED_INTERLEAVE"],
    flags: ["NUMA_BALANCING", "RELATIVE_NODES", "STATIC_NODES"],
  },
} as const;

/** The features structure. */
export function describeFeatures(version: string): object {
  const flags = withPrefix("SECCOMP_FILTER_FLAG_", known.seccomp.flags);
  return {
    ociVersionMin: "1.0.0",
    ociVersionMax: ociRuntimeVersion,
    hooks: known.hooks,
    mountOptions: knownMountOptions(),
    linux: {
      namespaces: Object.keys(cloneFlags).toSorted(),
      capabilities: capabilityNames,
      cgroup: { v1: true, v2: true, systemd: true, systemdUser: true, rdma: true },
      seccomp: {
        enabled: true,
        actions: withPrefix("SCMP_ACT_", known.seccomp.actions),
        operators: withPrefix("SCMP_CMP_", known.seccomp.operators),
        archs: seccompArchitectures.toSorted(),
        knownFlags: flags,
        supportedFlags: flags,
      },
      apparmor: { enabled: true },
      selinux: { enabled: true },
      intelRdt: { enabled: true, schemata: true, monitoring: true },
      memoryPolicy: {
        modes: withPrefix("MPOL_", known.memoryPolicy.modes),
        flags: withPrefix("MPOL_F_", known.memoryPolicy.flags),
      },
      mountExtensions: { idmap: { enabled: true } },
      netDevices: { enabled: true },
    },
    annotations: { "org.gantry.version": version },
    potentiallyUnsafeConfigAnnotations: ["org.criu.config", "org.systemd.property.", "run.oci."],
  };
}

function withPrefix(prefix: string, names: readonly string[]): string[] {
  return names.map((name) => prefix + name);
}
