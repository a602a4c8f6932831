/**
 * An image's config and a request -> the runtime's config.json. Pure.
 *
 * SPEC: image-spec conversion.md for what the image says; the defaults for the rest are Docker's, which is
 * what images are written for: its mounts, masked paths, fourteen capabilities and device rules.
 */
import type { ConfigCapabilities, ConfigMount, ConfigNamespace, LinuxConfig, LinuxResources, RuntimeConfig } from "#spec/runtime-config.ts";
import { CodedError } from "#base/errors.ts";
import { usualMounts } from "#runtime/default-config.ts";
import { defaultSeccompProfile } from "./seccomp.ts";
import { resolveSeccompProfile } from "./seccomp-profile.ts";
import type { ContainerRequest } from "./request.ts";
import type { ResolvedUser } from "./user.ts";

/** What the image says about its process (image-spec config.md `config`). */
export interface ImageProcess {
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly workingDirectory: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly stopSignal: string | undefined;
}

/** All that the config is made of. */
export interface ConfigInput {
  readonly id: string;
  readonly request: ContainerRequest;
  readonly image: ImageProcess;
  readonly user: ResolvedUser;
  readonly rootfs: string;
  /** Node's word for the architecture, such as "x64". */
  readonly machine: string;
  /** The kernel's version. */
  readonly kernel: string;
  /** Host files shown as /etc/hosts and so on. */
  readonly files: { readonly hosts: string; readonly hostname: string; readonly resolvConf: string };
}

/** What a process finds programs by when the image does not say. */
export const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Docker's fourteen. */
export const defaultCapabilities = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
];

/** Paths that tell of, or reach into, the host's kernel. */
export const maskedPaths = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];
/** Paths of /proc that set what the host does. */
export const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const cpuPeriodMicros = 100_000;

/** The config.json of the container. @throws CodedError `invalid-argument` when there is nothing to run */
export function makeRuntimeConfig(input: ConfigInput): RuntimeConfig {
  const { id, request, image, user } = input;
  const hostname = request.hostname ?? id.slice(0, 12);
  return {
    ociVersion: "1.3.0",
    root: { path: input.rootfs, readonly: request.readOnly },
    hostname,
    process: {
      terminal: request.tty,
      user: { uid: user.uid, gid: user.gid, additionalGids: [...user.additionalGids] },
      args: processArguments(request, image),
      env: environment(request, image, { hostname, home: user.home }),
      cwd: request.workingDirectory ?? (image.workingDirectory === "" ? "/" : image.workingDirectory),
      capabilities: capabilities(user.uid),
      noNewPrivileges: false,
    },
    mounts: mounts(input),
    annotations: { ...image.labels, ...request.labels },
    linux: {
      // Not below a common parent, which would be left behind when the last container goes.
      cgroupsPath: `/gantry-${id}`,
      namespaces: namespaces(request),
      resources: resources(request),
      maskedPaths,
      readonlyPaths,
      ...seccomp(input),
    },
  };
}

/** The command line: Entrypoint and Cmd by Docker's rules (a new entrypoint drops the image's Cmd). */
export function processArguments(request: ContainerRequest, image: ImageProcess): string[] {
  const entrypoint = request.entrypoint === undefined ? image.entrypoint : [request.entrypoint].filter((word) => word !== "");
  const command = request.command.length > 0 || request.entrypoint !== undefined ? request.command : image.command;
  const words = [...entrypoint, ...command];
  if (words.length === 0)
    throw new CodedError("invalid-argument", `cannot run ${request.image}: neither the image nor the command line says what to run`);
  return words;
}

function environment(request: ContainerRequest, image: ImageProcess, facts: { hostname: string; home: string | undefined }): string[] {
  const variables = new Map<string, string>();
  const set = (entry: string): void => {
    variables.set(entry.split("=", 1)[0] ?? "", entry);
  };
  set(defaultPath);
  set(`HOSTNAME=${facts.hostname}`);
  if (request.tty) set("TERM=xterm");
  for (const entry of image.env) set(entry);
  // Defaults never override what the image or the user gave (umoci once did: its issue 652).
  if (!variables.has("HOME")) set(`HOME=${facts.home ?? "/"}`);
  for (const entry of request.env) if (entry.includes("=")) set(entry);
  return [...variables.values()];
}

/** A user other than root gets the bounding set only, so that setuid programs work and nothing else does, as under Docker. */
function capabilities(uid: number): ConfigCapabilities {
  const held = uid === 0 ? defaultCapabilities : [];
  return { bounding: defaultCapabilities, effective: held, permitted: held, inheritable: [], ambient: [] };
}

function seccomp({ request, machine, kernel }: ConfigInput): Pick<LinuxConfig, "seccomp"> {
  if (request.seccomp === "unconfined") return {};
  const profile =
    request.seccomp === undefined
      ? defaultSeccompProfile(machine, defaultCapabilities)
      : resolveSeccompProfile(request.seccomp, { machine, kernel, bounding: defaultCapabilities });
  return profile === undefined ? {} : { seccomp: profile };
}

function mounts(input: ConfigInput): ConfigMount[] {
  const { request, files } = input;
  const base: ConfigMount[] = [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
    ...usualMounts,
    { destination: "/etc/hosts", type: "bind", source: files.hosts, options: ["bind", "rprivate"] },
    { destination: "/etc/hostname", type: "bind", source: files.hostname, options: ["bind", "rprivate"] },
    { destination: "/etc/resolv.conf", type: "bind", source: files.resolvConf, options: ["bind", "rprivate"] },
  ];
  const volumes = request.volumes.map((volume): ConfigMount => ({
    destination: volume.target,
    type: "bind",
    source: volume.source,
    options: ["rbind", "rprivate", volume.readOnly ? "rro" : "rw"],
  }));
  const taken = new Set(request.volumes.map((volume) => volume.target.replace(/\/+$/, "")));
  return [...base.filter((mount) => !taken.has(mount.destination)), ...volumes];
}

function namespaces(request: ContainerRequest): ConfigNamespace[] {
  const own: ConfigNamespace[] = [{ type: "pid" }, { type: "ipc" }, { type: "uts" }, { type: "mount" }, { type: "cgroup" }];
  return request.network === "host" ? own : [...own, { type: "network" }];
}

/** Limits as asked; with a memory limit, memory and swap together get twice as much, as under Docker. */
function resources(request: ContainerRequest): LinuxResources {
  const { memoryBytes, pidsLimit, cpus } = request;
  return {
    // The runtime adds what every container may use: making nodes, and opening the harmless ones.
    devices: [{ allow: false, access: "rwm" }],
    ...(memoryBytes === undefined ? {} : { memory: { limit: memoryBytes, swap: memoryBytes * 2 } }),
    ...(pidsLimit === undefined ? {} : { pids: { limit: pidsLimit } }),
    ...(cpus === undefined ? {} : { cpu: { quota: Math.round(cpus * cpuPeriodMicros), period: cpuPeriodMicros } }),
  };
}
