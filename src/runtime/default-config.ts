/** The config.json that `spec` writes: a starting point to be edited, equal in meaning to runc's. */
import type { ConfigMount, RuntimeConfig } from "#spec/runtime-config.ts";
import { ociRuntimeVersion } from "#spec/oci-version.ts";

const capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/** What every container has mounted beside `/proc`: equal to runc's. */
export const usualMounts: readonly ConfigMount[] = [
  { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
  {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
  { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
  { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
  { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev", "relatime", "ro"] },
];

/** The config for a machine; a cgroup namespace belongs to it where only cgroup v2 is mounted. */
export function makeDefaultConfig({ hasOnlyCgroup2 }: { readonly hasOnlyCgroup2: boolean }): RuntimeConfig {
  return {
    ociVersion: ociRuntimeVersion,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ["sh"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
      cwd: "/",
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: true },
    hostname: "gantry",
    mounts: [{ destination: "/proc", type: "proc", source: "proc" }, ...usualMounts],
    linux: {
      resources: { devices: [{ allow: false, access: "rwm" }] },
      namespaces: [
        { type: "pid" },
        { type: "network" },
        { type: "ipc" },
        { type: "uts" },
        { type: "mount" },
        ...(hasOnlyCgroup2 ? [{ type: "cgroup" as const }] : []),
      ],
      maskedPaths: [
        "/proc/acpi",
        "/proc/asound",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/sys/firmware",
        "/proc/scsi",
      ],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
  };
}

/** The same for a user without privileges, who is root inside: what needs more than a user namespace gives is left out. */
export function makeRootless(config: RuntimeConfig, { uid, gid }: { readonly uid: number; readonly gid: number }): RuntimeConfig {
  const { resources: _, ...linux } = config.linux ?? {};
  const namespaces = (linux.namespaces ?? []).filter(({ type }) => type !== "network" && type !== "user");
  return {
    ...config,
    mounts: (config.mounts ?? []).map(withoutPrivileges),
    linux: {
      uidMappings: [{ containerID: 0, hostID: uid, size: 1 }],
      gidMappings: [{ containerID: 0, hostID: gid, size: 1 }],
      ...linux,
      namespaces: [...namespaces, { type: "user" }],
    },
  };
}

function withoutPrivileges(mount: ConfigMount): ConfigMount {
  // KERNEL: sysfs can be mounted only by the owner of the network namespace, which is the host's here.
  if (mount.destination === "/sys")
    return { destination: "/sys", type: "none", source: "/sys", options: ["rbind", "nosuid", "noexec", "nodev", "ro"] };
  if (mount.options === undefined) return mount;
  // Ids other than one's own are not mapped.
  return { ...mount, options: mount.options.filter((option) => !/^[ug]id=/.test(option)) };
}
