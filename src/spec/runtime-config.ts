/**
 * config.json of the OCI runtime specification 1.3.0, Linux: its shape, from which its types follow.
 *
 * Property names are the spec's. Only types are checked here; rules between properties live in `validate/`.
 * Sections of other platforms are only looked for. @see runtime-spec config.md, config-linux.md
 */
import { seccomp } from "./seccomp.ts";
import { anything, flag, int32, int64, list, object, oneOf, record, text, uint16, uint32, uint64, type Infer } from "./shape.ts";

const idMapping = object({ containerID: uint32, hostID: uint32, size: uint32 }, {});

const mount = object(
  { destination: text },
  { type: text, source: text, options: list(text), uidMappings: list(idMapping), gidMappings: list(idMapping) },
);

const user = object({ uid: uint32, gid: uint32 }, { umask: uint32, additionalGids: list(uint32) });

const capabilities = object(
  {},
  { bounding: list(text), effective: list(text), inheritable: list(text), permitted: list(text), ambient: list(text) },
);

const scheduler = object(
  { policy: text },
  { nice: int32, priority: int32, flags: list(text), runtime: uint64, deadline: uint64, period: uint64 },
);

const process = object(
  // `user` is a struct in the Go types: documents without it mean root.
  { cwd: text },
  {
    terminal: flag,
    consoleSize: object({ height: uint32, width: uint32 }, {}),
    user,
    env: list(text),
    args: list(text),
    rlimits: list(object({ type: text, soft: uint64, hard: uint64 }, {})),
    capabilities,
    noNewPrivileges: flag,
    oomScoreAdj: int32,
    apparmorProfile: text,
    selinuxLabel: text,
    scheduler,
    ioPriority: object({ class: text, priority: int32 }, {}),
    execCPUAffinity: object({}, { initial: text, final: text }),
  },
);

const hooks = list(object({ path: text }, { args: list(text), env: list(text), timeout: int32 }));

const throttle = list(object({ major: int64, minor: int64, rate: uint64 }, {}));

const memory = object(
  {},
  {
    limit: int64,
    reservation: int64,
    swap: int64,
    kernel: int64,
    kernelTCP: int64,
    swappiness: uint64,
    disableOOMKiller: flag,
    useHierarchy: flag,
    checkBeforeUpdate: flag,
  },
);

const cpu = object(
  {},
  {
    shares: uint64,
    quota: int64,
    burst: uint64,
    period: uint64,
    realtimeRuntime: int64,
    realtimePeriod: uint64,
    cpus: text,
    mems: text,
    idle: int64,
  },
);

const blockIO = object(
  {},
  {
    weight: uint16,
    leafWeight: uint16,
    weightDevice: list(object({ major: int64, minor: int64 }, { weight: uint16, leafWeight: uint16 })),
    throttleReadBpsDevice: throttle,
    throttleWriteBpsDevice: throttle,
    throttleReadIOPSDevice: throttle,
    throttleWriteIOPSDevice: throttle,
  },
);

const deviceRule = object({ allow: flag }, { type: text, major: int64, minor: int64, access: text });

const resources = object(
  {},
  {
    devices: list(deviceRule),
    memory,
    cpu,
    blockIO,
    pids: object({}, { limit: int64 }),
    hugepageLimits: list(object({ pageSize: text, limit: uint64 }, {})),
    network: object({}, { classID: uint32, priorities: list(object({ name: text, priority: uint32 }, {})) }),
    rdma: record(object({}, { hcaHandles: uint32, hcaObjects: uint32 })),
    unified: record(text),
  },
);

const namespace = object({ type: oneOf("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time") }, { path: text });

const device = object({ type: text, path: text }, { major: int64, minor: int64, fileMode: uint32, uid: uint32, gid: uint32 });

const intelRdt = object({}, { closID: text, schemata: list(text), l3CacheSchema: text, memBwSchema: text, enableMonitoring: flag });

const linux = object(
  {},
  {
    namespaces: list(namespace),
    uidMappings: list(idMapping),
    gidMappings: list(idMapping),
    timeOffsets: record(object({}, { secs: int64, nanosecs: uint32 })),
    devices: list(device),
    netDevices: record(object({}, { name: text })),
    cgroupsPath: text,
    resources,
    sysctl: record(text),
    seccomp,
    rootfsPropagation: text,
    maskedPaths: list(text),
    readonlyPaths: list(text),
    mountLabel: text,
    intelRdt,
    memoryPolicy: object({ mode: text }, { nodes: text, flags: list(text) }),
    personality: object({ domain: text }, { flags: list(text) }),
  },
);

const config = object(
  { ociVersion: text },
  {
    root: object({ path: text }, { readonly: flag }),
    mounts: list(mount),
    process,
    hostname: text,
    domainname: text,
    hooks: object(
      {},
      {
        prestart: hooks,
        createRuntime: hooks,
        createContainer: hooks,
        startContainer: hooks,
        poststart: hooks,
        poststop: hooks,
      },
    ),
    annotations: record(text),
    linux,
    vm: anything,
    freebsd: anything,
    solaris: anything,
    windows: anything,
    zos: anything,
  },
);

/** The whole of config.json. */
export type RuntimeConfig = Infer<typeof config>;
/** `mounts[]`. */
export type ConfigMount = Infer<typeof mount>;
/** `process`. */
export type ConfigProcess = Infer<typeof process>;
/** `process.capabilities`. */
export type ConfigCapabilities = Infer<typeof capabilities>;
/** `linux`. */
export type LinuxConfig = Infer<typeof linux>;
/** `linux.resources`, also the document that `update` takes. */
export type LinuxResources = Infer<typeof resources>;
/** `linux.resources.devices[]`. */
export type DeviceRule = Infer<typeof deviceRule>;
/** `linux.devices[]`. */
export type ConfigDevice = Infer<typeof device>;
/** `linux.namespaces[]`. */
export type ConfigNamespace = Infer<typeof namespace>;
/** The kinds of namespaces, in the spec's spelling. */
export type NamespaceKind = ConfigNamespace["type"];
/** One range of a user namespace's map. */
export type IdMapping = Infer<typeof idMapping>;

/**
 * Types the JSON value of a config.json. Unknown properties are left out.
 * @throws CodedError `invalid-spec` naming the JSON Pointer of the first value that has a wrong type.
 */
export function parseRuntimeConfig(value: unknown): RuntimeConfig {
  return config(value, "");
}
