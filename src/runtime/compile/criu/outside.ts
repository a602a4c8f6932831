/** What criu cannot know of a container: which of its mounts and namespaces are not its own, and so are no part of an image. */
import type { Step } from "#program/encode.ts";
import type { NamespaceKind, RuntimeConfig } from "#spec/runtime-config.ts";
import type { CgroupDirectory } from "../cgroup/cgroup.ts";
import { byDefault, findNamespace, normalizePath, resolveHostPath, step, unsupported } from "../context.ts";
import { parseMountOptions } from "../mount-options.ts";
import { isBind } from "../mounts.ts";

/** A mount that is made again from something on the host. */
export interface OutsideMount {
  /** Where it is in the container, symbolic links resolved. criu knows it by the same name, in our images as in runc's. */
  readonly inside: string;
  /** The name that an image has for it. */
  readonly key: string;
  /** Absolute host path. */
  readonly source: string;
}

/** What the list of a container's outside mounts is made from. */
export interface OutsideInput {
  readonly config: RuntimeConfig;
  readonly bundle: string;
  readonly cgroups: readonly CgroupDirectory[];
  /** Whether the host has cgroups as one tree, which is mounted in containers and not bound. */
  readonly isUnified: boolean;
  /** Resolves a path of the container's within its root file system. */
  readonly resolve: (path: string) => string;
}

/** The mounts of the config that are bound from the host, but for masks. */
export function outsideMounts(input: OutsideInput): OutsideMount[] {
  const { config, bundle, resolve } = input;
  const named = (inside: string, source: string): OutsideMount => ({ inside, key: inside, source });
  const mounts = (config.mounts ?? []).flatMap((mount) => {
    const options = parseMountOptions(mount.options ?? []);
    const destination = resolve(normalizePath(mount.destination));
    if (options.isRemount) return [];
    if (isBind(mount, options)) return [named(destination, resolveHostPath(bundle, mount.source ?? ""))];
    return mount.type === "cgroup" ? cgroupBinds(input, destination) : [];
  });
  // In a user namespace no device can be made, so they are the host's.
  const devices = findNamespace(config.linux ?? {}, "user") === undefined ? [] : (config.linux?.devices ?? []).map(({ path }) => path);
  return [...mounts, ...[...defaultDevices(config), ...devices].map((path) => named(path, path))];
}

function defaultDevices({ linux }: RuntimeConfig): string[] {
  if (findNamespace(linux ?? {}, "user") === undefined) return [];
  return ["null", "zero", "full", "random", "urandom", "tty"].map((name) => `/dev/${name}`);
}

/** With a cgroup namespace, or as one tree, they are file systems that criu mounts anew. */
function cgroupBinds({ config, cgroups, isUnified }: OutsideInput, destination: string): OutsideMount[] {
  if (isUnified || findNamespace(config.linux ?? {}, "cgroup") !== undefined) return [];
  return cgroups.flatMap(({ hierarchy, path }) => {
    if (hierarchy === undefined) return [];
    const inside = `${destination}/${hierarchy.mountPoint.slice(hierarchy.mountPoint.lastIndexOf("/") + 1)}`;
    return [{ inside, key: inside, source: path }];
  });
}

/** What masked files are in an image. */
export const maskKey = "/dev/null";

/** Namespaces that an image leaves to whoever restores it, and the names it has for them: runc's. */
const external: Readonly<Partial<Record<NamespaceKind, readonly [kind: string, key: string]>>> = {
  network: ["net", "extRootNetNS"],
  pid: ["pid", "extRootPidNS"],
};

/** criu's names of namespaces that it can join. */
const joinable: Readonly<Partial<Record<NamespaceKind, string>>> = { ipc: "ipc", uts: "uts", user: "user", mount: "mnt", time: "time" };

/** A namespace that the config joins by path and an image leaves out. */
export interface OutsideNamespace {
  readonly kind: string;
  readonly key: string;
  readonly path: string;
}

/** The namespaces that are left out of an image. */
export function outsideNamespaces({ linux }: RuntimeConfig): OutsideNamespace[] {
  return (linux?.namespaces ?? []).flatMap(({ type, path = "" }) => {
    const [kind, key] = external[type] ?? [];
    return kind === undefined || key === undefined || path === "" ? [] : [{ kind, key, path }];
  });
}

/** The other namespaces that the config joins: criu's name and the path. @throws CodedError `unsupported` for a cgroup namespace */
export function joinedNamespaces({ linux }: RuntimeConfig): (readonly [kind: string, path: string])[] {
  return (linux?.namespaces ?? []).flatMap(({ type, path = "" }, index) => {
    if (path === "" || external[type] !== undefined) return [];
    const kind = joinable[type];
    if (kind === undefined) throw unsupported(`/linux/namespaces/${index}`, `criu cannot join a ${type} namespace`);
    return [[kind, path] as const];
  });
}

/**
 * Makes the places of mounts that may be missing in the root file system, as at the container's start. What is bound is there
 * meanwhile, so that places within it are made too; what lies on a tmpfs comes with the image.
 */
export function mountPlaces(
  { config, bundle }: OutsideInput,
  isDirectory: (hostPath: string) => boolean | undefined,
): { readonly make: readonly Step[]; readonly undo: readonly Step[] } {
  const make: Step[] = [];
  const undo: Step[] = [];
  const onTmpfs = (path: string): boolean =>
    (config.mounts ?? []).some(({ type, destination }) => type === "tmpfs" && path.startsWith(`${normalizePath(destination)}/`));
  for (const [index, mount] of (config.mounts ?? []).entries()) {
    const options = parseMountOptions(mount.options ?? []);
    const [path, origin] = [normalizePath(mount.destination), `/mounts/${index}`];
    if (options.isRemount || mount.type === "cgroup" || mount.type === "cgroup2" || onTmpfs(path)) continue;
    const isBound = isBind(mount, options);
    const source = resolveHostPath(bundle, mount.source ?? "");
    const op = isBound && isDirectory(source) === false ? "ensure-file" : "ensure-directory";
    make.push(step({ op, path, mode: 0o755 }, origin));
    if (!isBound) continue;
    make.push(step({ op: "bind", source, target: path, recursive: 1 }, origin));
    undo.unshift(step({ op: "unmount", target: path, flags: detach }, byDefault("criu makes the mounts itself")));
  }
  return { make, undo };
}

/** umount2(2), MNT_DETACH. */
const detach = 2;
