/**
 * The mounts of the config, in its order. The kernel resolves every destination inside the working root,
 * so links in the image lead nowhere else.
 */
import { CodedError } from "#base/errors.ts";
import type { Step } from "#program/encode.ts";
import type { ConfigMount } from "#spec/runtime-config.ts";
import type { CgroupDirectory } from "./cgroup/cgroup.ts";
import { compileCgroupMount } from "./cgroup/mount.ts";
import { normalizePath, parentPath, resolveHostPath, step, unsupported, type Context } from "./context.ts";
import { mountAttributes } from "./kernel.ts";
import { compileQueueLabel, mountLabelOptions, warnOfMountLabel } from "./labels.ts";
import { parseMountOptions, type MountOptions } from "./mount-options.ts";
import { attachStep, changeSlot, childSlot, compileSpecialFilesystem, HostSide, isProcAllowed } from "./mount-parts.ts";
import { attributeStep, changeMount, changePropagation, compileFilesystemMount, withoutReadOnly, type PlacedMount } from "./mount-steps.ts";

/** Steps that make the mounts, and those that end them once nothing more is put into them. */
export interface MountPlan {
  /** In the executor, before the clone and before it joins anything. */
  readonly open: readonly Step[];
  readonly make: readonly Step[];
  /** Makes read-only what had to be written to first. */
  readonly close: readonly Step[];
}

/** Compiles `mounts`. `cgroups` are the container's own, for mounts of type cgroup. @throws CodedError `unsupported`, `not-found`. */
export function compileMounts(context: Context, cgroups: readonly CgroupDirectory[]): MountPlan {
  const host = new HostSide();
  const make: Step[] = [];
  const close: Step[] = [];
  warnOfMountLabel(context);
  for (const [index, mount] of (context.config.mounts ?? []).entries()) {
    const origin = `/mounts/${index}`;
    const options = parseMountOptions(mount.options ?? []);
    const placed: PlacedMount = { mount, options, target: normalizePath(mount.destination), origin };
    refuseUnsupported(context, placed);
    for (const word of options.ineffective) context.warn(`ignored ${origin}/options: "${word}" has no effect on this kernel`);
    if (!mount.destination.startsWith("/"))
      context.warn(`deprecated ${origin}/destination: "${mount.destination}" is taken as relative to /`);
    if (options.isRemount) make.push(...compileRemount(context, placed));
    else if (isBind(mount, options)) make.push(...compileBind(context, placed, host));
    else if (mount.type === "cgroup" || mount.type === "cgroup2") make.push(...compileCgroupMount(context, placed, cgroups));
    else {
      make.push(...compileNewMount(context, placed));
      make.push(...compileQueueLabel(context, { fstype: mount.type ?? "", path: placed.target }));
      if (isClosedLater(placed)) close.push(attributeStep(placed.target, mountAttributes.readOnly, origin));
    }
  }
  return { open: host.steps, make, close };
}

/** Whether an entry is a bind mount. @see runtime-spec config.md#mounts */
export function isBind(mount: ConfigMount, options: MountOptions): boolean {
  return options.bind !== "no" || mount.type === "bind";
}

function compileNewMount(context: Context, placed: PlacedMount): Step[] {
  const { mount, target, origin } = placed;
  const fstype = mount.type ?? "";
  const closedLater = isClosedLater(placed) ? withoutReadOnly(placed.options) : placed.options;
  const options = { ...closedLater, data: [...closedLater.data, ...mountLabelOptions(context, fstype)] };
  const { kernel } = context.facts;
  return (
    compileSpecialFilesystem(context, placed, options) ?? [
      step({ op: "ensure-directory", path: target, mode: 0o755 }, origin),
      ...compileFilesystemMount({ fstype, source: mount.source ?? fstype, target, options, kernel, origin }),
    ]
  );
}

/** A tmpfs begins empty: devices and mount points are made in it before it becomes read-only. */
function isClosedLater({ mount, options }: PlacedMount): boolean {
  return mount.type === "tmpfs" && ((options.attributes.set | options.recursiveAttributes.set) & mountAttributes.readOnly) !== 0;
}

function compileBind(context: Context, placed: PlacedMount, host: HostSide): Step[] {
  const { bundle, facts, warn } = context;
  const { mount, options, target, origin } = placed;
  const source = resolveHostPath(bundle, mount.source ?? "");
  const link = options.isLinkCopied ? facts.readLink(source) : undefined;
  if (link !== undefined)
    return [
      step({ op: "ensure-directory", path: parentPath(target), mode: 0o755 }, origin),
      step({ op: "require-symlink", path: target, target: link }, origin),
    ];
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
    ...bindSource(context, placed, { source, host }),
    ...changePropagation(placed),
  ];
}

function bindSource(context: Context, placed: PlacedMount, { source, host }: { source: string; host: HostSide }): Step[] {
  const { options, target, origin } = placed;
  const recursive = options.bind === "recursive" ? 1 : 0;
  if (isIdMapped(placed) || isOutOfReach(context, source)) {
    const slot = host.open(context, { path: source, recursive, origin });
    if (isIdMapped(placed)) host.mapIds(context, slot, placed);
    return [...changeSlot(slot, placed), attachStep(slot, placed)];
  }
  const changes = changeSlot(childSlot, placed);
  if (changes.length === 0 && !isProcAllowed(target)) return [step({ op: "bind", source, target, recursive }, origin)];
  return [
    step({ op: "open-source", slot: childSlot, path: source, recursive, propagation: 0 }, origin),
    ...changes,
    attachStep(childSlot, placed),
  ];
}

/** Whether ids are mapped: by one of the words, or by mappings alone. @see runtime-spec config.md#posix-platform-mounts */
function isIdMapped({ mount, options }: PlacedMount): boolean {
  return options.idMap !== "no" || mount.uidMappings !== undefined;
}

/**
 * The root of a user namespace may not pass through the directories to a source, so the executor opens it while it is
 * the host's root. What lies in the container's own tree is opened there, where earlier mounts are.
 */
function isOutOfReach({ hasUserNamespace, isPrivileged, bundle, config }: Context, source: string): boolean {
  const rootfs = resolveHostPath(bundle, config.root?.path ?? "");
  return hasUserNamespace && isPrivileged && source !== rootfs && !source.startsWith(`${rootfs}/`);
}

function compileRemount({ warn }: Context, placed: PlacedMount): Step[] {
  const { mount, options, target, origin } = placed;
  const { data } = options;
  if (data.length > 0 && isBind(mount, options)) {
    warn(`ignored ${origin}/options: a bind mount has no options of its own file system ("${data.join(",")}")`);
    return changeMount(placed);
  }
  return [...(data.length === 0 ? [] : [step({ op: "reconfigure", target, options: data }, origin)]), ...changeMount(placed)];
}

function refuseUnsupported({ bundle }: Context, placed: PlacedMount): void {
  const { mount, options, target, origin } = placed;
  const [word] = options.unsupported;
  const isBound = isBind(mount, options);
  if (word !== undefined) throw unsupported(`${origin}/options`, `the option "${word}" is not implemented`);
  if (options.isCopiedUp && (isBound || mount.type !== "tmpfs"))
    throw unsupported(`${origin}/options`, '"tmpcopyup" is for file systems of type tmpfs');
  if (options.isLinkCopied && (!isBound || options.isRemount)) throw unsupported(`${origin}/options`, '"copy-symlink" is for bind mounts');
  if (isIdMapped(placed) && (!isBound || options.isRemount))
    throw unsupported(`${origin}/${options.idMap === "no" ? "uidMappings" : "options"}`, "ids are mapped for bind mounts only");
  // SECURITY: labels and limits are written to files of /proc, which must be the kernel's (CVE-2019-16884).
  const isProc = isBound ? resolveHostPath(bundle, mount.source ?? "") === "/proc" : mount.type === "proc";
  if (target === "/proc" && !isProc && !options.isRemount)
    throw unsupported(`${origin}/destination`, "nothing but a proc file system may be mounted at /proc");
}
