/** Mounts of type "cgroup": what they mean depends on how the host has its cgroups. */
import type { Step } from "#program/encode.ts";
import type { CgroupHierarchy } from "../../facts.ts";
import type { CgroupDirectory } from "./cgroup.ts";
import { findNamespace, joinPath, step, type Context } from "../context.ts";
import { mountAttributes } from "../kernel.ts";
import { attributeStep, changeMount, compileFilesystemMount, withoutReadOnly, type PlacedMount } from "../mount-steps.ts";

/**
 * Compiles one such mount: the v2 tree, or a tmpfs with the container's part of each v1 hierarchy.
 * @see runtime-spec config-linux.md#control-groups; cgroups(7)
 */
export function compileCgroupMount(context: Context, placed: PlacedMount, cgroups: readonly CgroupDirectory[]): Step[] {
  const { cgroup } = context.facts;
  const directory = step({ op: "ensure-directory", path: placed.target, mode: 0o755 }, placed.origin);
  if (cgroup.version === "v2" || placed.mount.type === "cgroup2") return [directory, ...compileUnified(context, placed, cgroups)];
  return [directory, ...compileHierarchies(context, placed, cgroups)];
}

function compileUnified(context: Context, placed: PlacedMount, cgroups: readonly CgroupDirectory[]): Step[] {
  const { facts, linux, hasUserNamespace } = context;
  const { target, origin, options } = placed;
  const unified = facts.cgroup.unified;
  // KERNEL: a cgroup mount belongs to the owner of the cgroup namespace, so from a user namespace a foreign one cannot be mounted.
  if (hasUserNamespace && findNamespace(linux, "cgroup") === undefined && unified !== undefined) {
    // SECURITY: the container's part only; the ids in it may own more of the tree than that (CVE-2023-25809).
    const source = cgroups.find(({ hierarchy }) => hierarchy === undefined)?.path ?? joinPath(unified.mountPoint, unified.own);
    return [step({ op: "bind", source, target, recursive: 1 }, origin), ...changeMount(placed)];
  }
  return compileFilesystemMount({
    fstype: "cgroup2",
    source: placed.mount.source ?? "cgroup",
    target,
    options,
    kernel: facts.kernel,
    origin,
  });
}

function compileHierarchies(context: Context, placed: PlacedMount, cgroups: readonly CgroupDirectory[]): Step[] {
  const { target, origin, options } = placed;
  const { kernel } = context.facts;
  const writable = withoutReadOnly(options);
  const steps = compileFilesystemMount({
    fstype: "tmpfs",
    source: "tmpfs",
    target,
    options: { ...writable, data: ["mode=755"] },
    kernel,
    origin,
  });
  for (const { hierarchy, path } of cgroups) {
    if (hierarchy === undefined) continue;
    const name = baseName(hierarchy.mountPoint);
    const at = `${target}/${name}`;
    steps.push(
      step({ op: "ensure-directory", path: at, mode: 0o755 }, origin),
      ...mountHierarchy(context, placed, { hierarchy, path, at }),
    );
    // A hierarchy of several controllers is also found by the name of each.
    for (const controller of hierarchy.controllers) {
      if (controller !== name) steps.push(step({ op: "make-symlink", path: `${target}/${controller}`, target: name }, origin));
    }
  }
  if (((options.attributes.set | options.recursiveAttributes.set) & mountAttributes.readOnly) !== 0)
    steps.push(attributeStep(target, mountAttributes.readOnly, origin));
  return steps;
}

function mountHierarchy(
  { linux, facts }: Context,
  { options, origin }: PlacedMount,
  { hierarchy, path, at }: { hierarchy: CgroupHierarchy; path: string; at: string },
): Step[] {
  if (findNamespace(linux, "cgroup") === undefined) {
    return [step({ op: "bind", source: path, target: at, recursive: 0 }, origin), ...changeMount({ options, target: at, origin })];
  }
  const data = hierarchy.name === undefined ? hierarchy.controllers : [`name=${hierarchy.name}`];
  return compileFilesystemMount({
    fstype: "cgroup",
    source: "cgroup",
    target: at,
    options: { ...options, data },
    kernel: facts.kernel,
    origin,
  });
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
