/** Making and changing one mount: what the entries of the config and the mounts of cgroups have in common. */
import type { Step } from "#program/encode.ts";
import type { ConfigMount } from "#spec/runtime-config.ts";
import { isKernelAtLeast } from "../facts.ts";
import { step, unsupported } from "./context.ts";
import { mountAttributes } from "./kernel.ts";
import type { MountOptions } from "./mount-options.ts";

/** One entry of `mounts` with what is derived from it. */
export interface PlacedMount {
  readonly mount: ConfigMount;
  readonly options: MountOptions;
  /** Absolute path in the container. */
  readonly target: string;
  readonly origin: string;
}

/** The steps that change a mount as its options say: attributes, then propagation. */
export function changeMount({ options, target, origin }: Pick<PlacedMount, "options" | "target" | "origin">): Step[] {
  const steps: Step[] = [];
  for (const [{ set, clear }, recursive] of [
    [options.attributes, 0],
    [options.recursiveAttributes, 1],
  ] as const) {
    if ((set | clear) !== 0) steps.push(step({ op: "mount-attributes", target, set, clear, propagation: 0, recursive }, origin));
  }
  return [...steps, ...changePropagation({ options, target, origin })];
}

/**
 * A new file system at a target.
 * @throws CodedError `unsupported` for an option that is too long for the kernel's interface.
 */
export function compileFilesystemMount(wish: {
  readonly fstype: string;
  readonly source: string;
  readonly target: string;
  readonly options: MountOptions;
  readonly kernel: string;
  readonly origin: string;
}): Step[] {
  const { fstype, source, target, options, origin } = wish;
  return [
    step({ op: "mount", fstype, source, target, ...filesystemOptions(wish) }, origin),
    ...changePropagation({ options, target, origin }),
  ];
}

/** The `options` and `attributes` of an op that makes a file system. @throws CodedError `unsupported` for an option that is too long. */
export function filesystemOptions(wish: {
  readonly fstype: string;
  readonly source: string;
  readonly options: MountOptions;
  readonly kernel: string;
  readonly origin: string;
}): { options: string[]; attributes: number } {
  const { fstype, source, options, kernel, origin } = wish;
  const attributes = options.attributes.set | options.recursiveAttributes.set;
  // A device may be write-protected; then its file system must know too, not only the mount.
  const isReadOnlyDevice = source.startsWith("/") && (attributes & mountAttributes.readOnly) !== 0;
  const data = options.data.flatMap((option) => splitLongOption(fstype, option, { kernel, origin }));
  return { options: isReadOnlyDevice ? ["ro", ...data] : data, attributes };
}

/** The same options without read-only. */
export function withoutReadOnly(options: MountOptions): MountOptions {
  const drop = ({ set, clear }: { set: number; clear: number }): { set: number; clear: number } => ({
    set: set & ~mountAttributes.readOnly,
    clear,
  });
  return { ...options, attributes: drop(options.attributes), recursiveAttributes: drop(options.recursiveAttributes) };
}

/** Sets MOUNT_ATTR_* on one mount. */
export function attributeStep(target: string, set: number, origin: string): Step {
  return step({ op: "mount-attributes", target, set, clear: 0, propagation: 0, recursive: 0 }, origin);
}

/** The propagation words of a mount, in their order. */
export function changePropagation({ options, target, origin }: Pick<PlacedMount, "options" | "target" | "origin">): Step[] {
  return options.propagations.map((flags) => step({ op: "propagation", path: target, flags }, origin));
}

/** KERNEL: fsconfig(2) takes values of up to 255 bytes; since 6.7 overlay takes its lower layers one by one. */
const valueLimitBytes = 255;

function splitLongOption(fstype: string, option: string, { kernel, origin }: { kernel: string; origin: string }): string[] {
  const equals = option.indexOf("=");
  const key = equals === -1 ? option : option.slice(0, equals);
  const value = equals === -1 ? "" : option.slice(equals + 1);
  if (Buffer.byteLength(value) <= valueLimitBytes) return [option];
  if (fstype === "overlay" && key === "lowerdir" && isKernelAtLeast(kernel, 6, 7) && !value.includes("\\")) {
    const layers = value.split(":");
    if (layers.every((layer) => layer !== "" && Buffer.byteLength(layer) <= valueLimitBytes))
      return layers.map((layer) => `lowerdir+=${layer}`);
  }
  throw unsupported(
    `${origin}/options`,
    `the value of "${key}" has ${Buffer.byteLength(value)} bytes, and the kernel takes ${valueLimitBytes}`,
  );
}
