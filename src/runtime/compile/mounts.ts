/**
 * The mounts of the config, in its order. The kernel resolves every destination inside the working root,
 * so links in the image lead nowhere else.
 */
import { CodedError } from "#base/errors.ts";
import type { Step } from "#program/encode.ts";
import type { ConfigMount } from "#spec/runtime-config.ts";
import type { CgroupDirectory } from "./cgroup/cgroup.ts";
import { compileCgroupMount } from "./cgroup/mount.ts";
import { normalizePath, resolveHostPath, step, unsupported, type Context } from "./context.ts";
import { mountAttributes } from "./kernel.ts";
import { compileQueueLabel, mountLabelOptions, warnOfMountLabel } from "./labels.ts";
import { parseMountOptions, type MountOptions } from "./mount-options.ts";
import { attributeStep, changeMount, compileFilesystemMount, withoutReadOnly, type PlacedMount } from "./mount-steps.ts";

/** Steps that make the mounts, and those that end them once nothing more is put into them. */
export interface MountPlan {
  readonly make: readonly Step[];
  /** Makes read-only what had to be written to first. */
  readonly close: readonly Step[];
}

/** Compiles `mounts`. `cgroups` are the container's own, for mounts of type cgroup. @throws CodedError `unsupported`, `not-found`. */
export function compileMounts(context: Context, cgroups: readonly CgroupDirectory[]): MountPlan {
  const make: Step[] = [];
  const close: Step[] = [];
  warnOfMountLabel(context);
  for (const [index, mount] of (context.config.mounts ?? []).entries()) {
    const origin = `/mounts/${index}`;
    const options = parseMountOptions(mount.options ?? []);
    refuseUnsupported(mount, options, origin);
    for (const word of options.ineffective) context.warn(`ignored ${origin}/options: "${word}" has no effect on this kernel`);
    if (!mount.destination.startsWith("/"))
      context.warn(`deprecated ${origin}/destination: "${mount.destination}" is taken as relative to /`);
    const placed: PlacedMount = { mount, options, target: normalizePath(mount.destination), origin };
    if (options.isRemount) make.push(...compileRemount(placed));
    else if (isBind(mount, options)) make.push(...compileBind(context, placed));
    else if (mount.type === "cgroup" || mount.type === "cgroup2") make.push(...compileCgroupMount(context, placed, cgroups));
    else {
      make.push(...compileNewMount(context, placed));
      make.push(...compileQueueLabel(context, { fstype: mount.type ?? "", path: placed.target }));
      if (isClosedLater(placed)) close.push(attributeStep(placed.target, mountAttributes.readOnly, origin));
    }
  }
  return { make, close };
}

/** Whether an entry is a bind mount. @see runtime-spec config.md#mounts */
export function isBind(mount: ConfigMount, options: MountOptions): boolean {
  return options.bind !== "no" || mount.type === "bind";
}

function compileNewMount(context: Context, placed: PlacedMount): Step[] {
  const { mount, target, origin } = placed;
  const fstype = mount.type ?? "";
  const attributes = isClosedLater(placed) ? withoutReadOnly(placed.options) : placed.options;
  const options = { ...attributes, data: [...attributes.data, ...mountLabelOptions(context, fstype)] };
  return [
    step({ op: "ensure-directory", path: target, mode: 0o755 }, origin),
    ...compileFilesystemMount({ fstype, source: mount.source ?? fstype, target, options, kernel: context.facts.kernel, origin }),
  ];
}

/** A tmpfs begins empty: devices and mount points are made in it before it becomes read-only. */
function isClosedLater({ mount, options }: PlacedMount): boolean {
  return mount.type === "tmpfs" && ((options.attributes.set | options.recursiveAttributes.set) & mountAttributes.readOnly) !== 0;
}

function compileBind({ bundle, facts, warn }: Context, placed: PlacedMount): Step[] {
  const { mount, options, target, origin } = placed;
  const source = resolveHostPath(bundle, mount.source ?? "");
  const isDirectory = facts.isDirectory(source);
  if (isDirectory === undefined) {
    throw new CodedError("not-found", `cannot bind ${source} at ${target}: no such file or directory (${origin}/source)`, {
      details: { pointer: `${origin}/source` },
    });
  }
  if (options.data.length > 0)
    warn(`ignored ${origin}/options: a bind mount has no options of its own file system ("${options.data.join(",")}")`);
  return [
    isDirectory
      ? step({ op: "ensure-directory", path: target, mode: 0o755 }, origin)
      : step({ op: "ensure-file", path: target, mode: 0o755 }, origin),
    step({ op: "bind", source, target, recursive: options.bind === "recursive" ? 1 : 0 }, origin),
    ...changeMount(placed),
  ];
}

function compileRemount(placed: PlacedMount): Step[] {
  const { options, origin } = placed;
  if (options.data.length > 0)
    throw unsupported(`${origin}/options`, `a remount can change the mount, not the file system ("${options.data.join(",")}")`);
  return changeMount(placed);
}

function refuseUnsupported(mount: ConfigMount, options: MountOptions, origin: string): void {
  const [word] = options.unsupported;
  if (word !== undefined) throw unsupported(`${origin}/options`, `the option "${word}" is not implemented`);
  if (mount.uidMappings !== undefined) throw unsupported(`${origin}/uidMappings`, "mounts with id mappings are not implemented");
}
