/** Rules about `linux`: namespaces, id maps, devices, kernel parameters, paths. */
import type { LinuxConfig, NamespaceKind, RuntimeConfig } from "../runtime-config.ts";
import { pointerTo } from "../shape.ts";
import { parseSysctlKey } from "../sysctl.ts";
import { problemIf, repeatedIndexes, type Check, type Problem } from "./problem.ts";

const propagations: readonly string[] = ["", "shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"];

/** Kernel parameters of the IPC namespace that are not below a prefix. @see namespaces(7), ipc_namespaces(7) */
const ipcParameters: ReadonlySet<string> = new Set([
  "kernel.msgmax",
  "kernel.msgmnb",
  "kernel.msgmni",
  "kernel.sem",
  "kernel.shmall",
  "kernel.shmmax",
  "kernel.shmmni",
  "kernel.shm_rmid_forced",
  "kernel.msg_next_id",
  "kernel.sem_next_id",
  "kernel.shm_next_id",
  "kernel.auto_msgmni",
]);

export const linuxChecks: readonly Check[] = [
  {
    name: "no kind of namespace is listed twice, and paths are absolute",
    find: ({ linux }) => {
      const namespaces = linux?.namespaces ?? [];
      const problems: Problem[] = repeatedIndexes(namespaces.map(({ type }) => type)).map((index) => ({
        at: `/linux/namespaces/${index}`,
        says: `the ${namespaces[index]?.type ?? ""} namespace is given twice`,
      }));
      for (const [index, { path }] of namespaces.entries()) {
        if (path !== undefined && path !== "" && !path.startsWith("/")) {
          problems.push({ at: `/linux/namespaces/${index}/path`, says: `"${path}" is no absolute path` });
        }
      }
      return problems;
    },
  },
  { name: "id mappings go with a user namespace", find: findMappingProblems },
  {
    name: "time offsets go with a new time namespace",
    find: ({ linux }) => {
      if (Object.keys(linux?.timeOffsets ?? {}).length === 0) return [];
      const time = linux?.namespaces?.find(({ type }) => type === "time");
      const problems: Problem[] = [];
      if (time === undefined) problems.push({ at: "/linux/timeOffsets", says: "there is no time namespace in /linux/namespaces" });
      if ((time?.path ?? "") !== "")
        problems.push({ at: "/linux/timeOffsets", says: "the offsets of a time namespace that is joined cannot be set" });
      for (const clock of Object.keys(linux?.timeOffsets ?? {})) {
        if (clock !== "monotonic" && clock !== "boottime") {
          problems.push({ at: pointerTo("/linux/timeOffsets", clock), says: `"${clock}" is neither monotonic nor boottime` });
        }
      }
      return problems;
    },
  },
  {
    name: "devices have a known type, an absolute path and numbers",
    find: ({ linux }) =>
      (linux?.devices ?? []).flatMap((device, index) => {
        const at = `/linux/devices/${index}`;
        const isNode = device.type !== "p";
        const [major, minor] = [device.major ?? (isNode ? -1 : 0), device.minor ?? (isNode ? -1 : 0)];
        return [
          ...problemIf(!["c", "b", "u", "p"].includes(device.type), `${at}/type`, `"${device.type}" is none of c, b, u, p`),
          ...problemIf(!device.path.startsWith("/"), `${at}/path`, `"${device.path}" is no absolute path`),
          // KERNEL: dev_t has 12 bits of major and 20 of minor (linux/kdev_t.h).
          ...problemIf(isNode && (major < 0 || major > 0xfff), `${at}/major`, "a number from 0 to 4095 is needed"),
          ...problemIf(isNode && (minor < 0 || minor > 0xfffff), `${at}/minor`, "a number from 0 to 1048575 is needed"),
        ];
      }),
  },
  { name: "kernel parameters belong to a namespace of the container", find: findSysctlProblems },
  {
    name: "rootfsPropagation is a kind of propagation",
    find: ({ linux }) => {
      const value = linux?.rootfsPropagation ?? "";
      return problemIf(
        !propagations.includes(value),
        "/linux/rootfsPropagation",
        `"${value}" is none of shared, slave, private, unbindable`,
      );
    },
  },
  {
    name: "masked and read-only paths are absolute",
    find: ({ linux }) =>
      (["maskedPaths", "readonlyPaths"] as const).flatMap((key) =>
        (linux?.[key] ?? []).flatMap((path, index) =>
          problemIf(!path.startsWith("/"), `/linux/${key}/${index}`, `"${path}" is no absolute path`),
        ),
      ),
  },
];

function hasNamespace(linux: LinuxConfig | undefined, kind: NamespaceKind): boolean {
  return (linux?.namespaces ?? []).some(({ type }) => type === kind);
}

function findMappingProblems({ linux, process }: RuntimeConfig): Problem[] {
  const problems: Problem[] = [];
  const user = linux?.namespaces?.find(({ type }) => type === "user");
  const uidMappings = linux?.uidMappings ?? [];
  const gidMappings = linux?.gidMappings ?? [];
  if (user === undefined) {
    const says = "there is no user namespace in /linux/namespaces";
    problems.push(
      ...problemIf(uidMappings.length > 0, "/linux/uidMappings", says),
      ...problemIf(gidMappings.length > 0, "/linux/gidMappings", says),
    );
    return problems;
  }
  if ((user.path ?? "") !== "") return problems;
  for (const [key, mappings] of [
    ["uidMappings", uidMappings],
    ["gidMappings", gidMappings],
  ] as const) {
    problems.push(...problemIf(mappings.length === 0, `/linux/${key}`, "a new user namespace needs at least one mapping"));
    // KERNEL: user_namespaces(7), UID_GID_MAP_MAX_EXTENTS.
    problems.push(...problemIf(mappings.length > 340, `/linux/${key}`, `there are ${mappings.length} mappings, more than 340`));
    for (const [index, { size }] of mappings.entries()) problems.push(...problemIf(size === 0, `/linux/${key}/${index}/size`, "it is 0"));
  }
  const isMapped = (mappings: typeof uidMappings, id: number): boolean =>
    mappings.some(({ containerID, size }) => id >= containerID && id < containerID + size);
  const { uid = 0, gid = 0 } = process?.user ?? {};
  if (uidMappings.length > 0 && !isMapped(uidMappings, uid))
    problems.push({ at: "/process/user/uid", says: `/linux/uidMappings does not map ${uid}` });
  if (gidMappings.length > 0 && !isMapped(gidMappings, gid))
    problems.push({ at: "/process/user/gid", says: `/linux/gidMappings does not map ${gid}` });
  return problems;
}

/** A parameter that no namespace of the container owns would change the host. @see sysctl(8), namespaces(7) */
function findSysctlProblems({ linux, hostname, domainname }: RuntimeConfig): Problem[] {
  return Object.keys(linux?.sysctl ?? {}).flatMap((key) => {
    const at = pointerTo("/linux/sysctl", key);
    const components = parseSysctlKey(key);
    if (components === undefined) return [{ at, says: "it is no name of a kernel parameter" }];
    const name = components.join(".");
    if (name.startsWith("net."))
      return problemIf(!hasNamespace(linux, "network"), at, "it needs a network namespace, or it would change the host");
    if (name.startsWith("fs.mqueue.") || ipcParameters.has(name)) {
      return problemIf(!hasNamespace(linux, "ipc"), at, "it needs an ipc namespace, or it would change the host");
    }
    if (name === "kernel.hostname" || name === "kernel.domainname") {
      const isTwice = name === "kernel.hostname" ? (hostname ?? "") !== "" : (domainname ?? "") !== "";
      if (isTwice) return [{ at, says: "it is given a second time by the property of that name" }];
      return problemIf(!hasNamespace(linux, "uts"), at, "it needs a uts namespace, or it would change the host");
    }
    return [{ at, says: "no namespace holds it, so it would change the host" }];
  });
}
