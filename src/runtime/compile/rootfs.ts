/**
 * The root file system: making its tree a mount, keeping events of mounts on their side, and entering it.
 *
 * @see pivot_root(2), mount_namespaces(7), runtime-spec config-linux.md#rootfs-mount-propagation
 */
import type { Step } from "#program/encode.ts";
import { byDefault, resolveHostPath, step, type Context } from "./context.ts";
import { mountAttributes, propagationFlags as ms } from "./kernel.ts";

/** The steps about the root file system, by the moment at which they run. */
export interface RootfsPlan {
  /** Makes the tree a mount and the working root. */
  readonly open: readonly Step[];
  /** Makes it the root, when all mounts are in it. */
  readonly enter: readonly Step[];
  /** When nothing must be written to it any more. */
  readonly close: readonly Step[];
}

/** Compiles `root` and `linux.rootfsPropagation`. `making` makes a mount of it (an overlay); without, the tree is there already. */
export function compileRootfs(context: Context, making: readonly Step[], hasPivot: boolean): RootfsPlan {
  const { config, bundle } = context;
  const path = resolveHostPath(bundle, config.root?.path ?? "");
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
