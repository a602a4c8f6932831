/**
 * The root file system: making its tree a mount, keeping events of mounts on their side, and entering it.
 *
 * @see pivot_root(2), mount_namespaces(7), runtime-spec config-linux.md#rootfs-mount-propagation
 */
import type { Step } from "#program/encode.ts";
import { byDefault, findNamespace, resolveHostPath, step, type Context } from "./context.ts";
import { mountAttributes, propagationFlags as ms } from "./kernel.ts";

/** MNT_DETACH. */
const detach = 2;

/** The steps about the root file system, by the moment at which they run. */
export interface RootfsPlan {
  /** Makes the tree a mount and the working root. */
  readonly open: readonly Step[];
  /** Makes it the root, when all mounts are in it. */
  readonly enter: readonly Step[];
  /** When nothing must be written to it any more. */
  readonly close: readonly Step[];
  /** Afterwards, on the host. */
  readonly cleanup: readonly Step[];
}

/** Compiles `root` and `linux.rootfsPropagation`. `making` makes a mount of it (an overlay); without, the tree is there already. */
export function compileRootfs(context: Context, making: readonly Step[], hasPivot: boolean): RootfsPlan {
  const { config, bundle } = context;
  const path = resolveHostPath(bundle, config.root?.path ?? "");
  if (findNamespace(context.linux, "mount") === undefined) return compileSharedRootfs(context, path);
  return {
    open: [
      ...isolate(context, path),
      ...(making.length === 0
        ? // KERNEL: pivot_root(2): the new root must be a mount point.
          [step({ op: "bind", source: path, target: path, recursive: 1 }, "/root/path")]
        : making),
      step({ op: "root", path }, "/root/path"),
    ],
    enter: [
      step(
        { op: hasPivot ? "pivot-root" : "move-root" },
        hasPivot ? byDefault("the container sees nothing but its root") : byDefault("told not to use pivot_root"),
      ),
      ...ownPropagation(context),
    ],
    close: config.root?.readonly === true ? [step({ op: "rootfs-attributes", set: mountAttributes.readOnly }, "/root/readonly")] : [],
    cleanup: [],
  };
}

/**
 * The container stays in its caller's mount namespace: its mounts are made on the host, all below one that is taken away at the end.
 * SECURITY: a chroot is left by whoever has CAP_SYS_CHROOT, so this confines nobody; that is what the config asks for, and said.
 */
function compileSharedRootfs({ config, warn }: Context, path: string): RootfsPlan {
  warn("/linux/namespaces has no mount namespace: the container sees the host's mounts, and a privileged one can leave its root");
  const origin = byDefault("the container has no mount namespace of its own");
  return {
    open: [
      step({ op: "bind", source: path, target: path, recursive: 1 }, "/root/path"),
      step({ op: "propagation", path, flags: ms.private }, origin),
      step({ op: "root", path }, "/root/path"),
    ],
    enter: [step({ op: "change-root" }, origin)],
    close: config.root?.readonly === true ? [step({ op: "rootfs-attributes", set: mountAttributes.readOnly }, "/root/readonly")] : [],
    cleanup: [step({ op: "unmount", target: path, flags: detach }, origin)],
  };
}

/** Cuts this mount namespace off from the host's: the host must never see the container's mounts. */
function isolate({ linux, facts }: Context, rootPath: string): Step[] {
  const kind = (linux.rootfsPropagation ?? "").replace(/^r/, "");
  const origin = kind === "" ? byDefault("the host must not see the container's mounts") : "/linux/rootfsPropagation";
  if (kind === "shared") {
    // Mounts keep their peers on the host, which is how a volume with propagation "shared" reaches it. Only the
    // mount that the root is made on is cut off: what is mounted there would otherwise appear on the host.
    return [step({ op: "propagation", path: mountPointOf(facts.mountPoints, rootPath), flags: ms.private }, origin)];
  }
  const flags = kind === "private" || kind === "unbindable" ? ms.private : ms.slave;
  return [step({ op: "propagation", path: "/", flags: flags | ms.recursive }, origin)];
}

/** Slave and private are what the root is already when it is entered. */
function ownPropagation({ linux }: Context): Step[] {
  const value = linux.rootfsPropagation ?? "";
  const kind = value.replace(/^r/, "");
  if (kind !== "shared" && kind !== "unbindable") return [];
  const flags = ms[kind] | (value.startsWith("r") ? ms.recursive : 0);
  return [step({ op: "propagation", path: "/", flags }, "/linux/rootfsPropagation")];
}

/** The mount point that `path` lies on: the longest one that is a prefix of it. */
export function mountPointOf(mountPoints: readonly string[], path: string): string {
  let longest = "/";
  for (const point of mountPoints) {
    if (point.length > longest.length && (path === point || path.startsWith(`${point}/`))) longest = point;
  }
  return longest;
}
