/** The bundles under stress: Docker's default filter and capabilities in all of them, and one trait that makes each hard to clean up. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultSeccompProfile } from "#engine/containers/seccomp.ts";

/** What is special about a container. */
export const traits = ["plain", "hooks", "limits", "user namespace", "host pids", "nested cgroup"] as const;
export type Trait = (typeof traits)[number];

/** Docker's default capabilities. */
const capabilities =
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
    .split(" ")
    .map((name) => `CAP_${name}`);

const profile = defaultSeccompProfile(process.arch, capabilities);
const flags = ["nosuid", "noexec", "nodev"];
const mounts = [
  { destination: "/proc", type: "proc", source: "proc" },
  { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
  { destination: "/dev/pts", type: "devpts", source: "devpts", options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
  { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [...flags, "mode=1777", "size=65536k"] },
  { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: flags },
  { destination: "/sys", type: "sysfs", source: "sysfs", options: [...flags, "ro"] },
  { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [...flags, "relatime", "ro"] },
];

/** Who a bundle is for. */
export interface BundleWish {
  readonly bundle: string;
  readonly rootfs: string;
  readonly id: string;
  /** Our mark, see machine.ts. */
  readonly token: string;
  readonly trait: Trait;
}

/** Writes the config.json of one container. Its processes live until they are killed. */
export function writeBundle({ bundle, rootfs, id, token, trait }: BundleWish): void {
  const kinds = [
    "mount",
    "ipc",
    "uts",
    "network",
    ...(trait === "host pids" ? [] : ["pid"]),
    ...(trait === "user namespace" ? ["user"] : []),
  ];
  const hook = (name: string): object => ({ path: "/bin/true", args: [name], env: [`GANTRY_STRESS=${token}`] });
  const mapping = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
  const script = "/bin/busybox sleep 1000 & /bin/busybox sleep 1000 & wait";
  const config = {
    ociVersion: "1.0.2",
    root: { path: rootfs, readonly: true },
    hostname: "stress",
    process: {
      cwd: "/",
      user: { uid: 0, gid: 0 },
      args: ["/bin/busybox", "sh", "-c", script],
      env: ["PATH=/bin", `GANTRY_STRESS=${token}`, `GANTRY_STRESS_ID=${id}`],
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: true,
    },
    mounts,
    ...(trait === "hooks"
      ? { hooks: { prestart: [hook("a")], createRuntime: [hook("b")], poststart: [hook("c")], poststop: [hook("d"), hook("e")] } }
      : {}),
    linux: {
      cgroupsPath: trait === "nested cgroup" ? `/${token}/shared/deep/${id}` : `/${token}/${id}`,
      namespaces: kinds.map((type) => ({ type })),
      ...(trait === "user namespace" ? { uidMappings: mapping, gidMappings: mapping } : {}),
      resources: {
        devices: [{ allow: false, access: "rwm" }],
        ...(trait === "limits"
          ? { memory: { limit: 67_108_864 }, pids: { limit: 64 }, cpu: { shares: 512, quota: 50_000, period: 100_000 } }
          : {}),
      },
      maskedPaths: ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
      seccomp: profile,
    },
  };
  mkdirSync(bundle, { recursive: true });
  writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
}
