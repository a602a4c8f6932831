/** overlayfs: the mounts that join layers, and whether this machine and file system can do them. */
import { join } from "node:path";
import { release } from "node:os";
import { CodedError } from "#base/errors.ts";
import type { Op } from "#program/ops.gen.ts";

/** An overlay mount. `lower` is lowest first. */
export interface OverlayMount {
  readonly lower: readonly string[];
  readonly upper: string;
  readonly work: string;
  readonly target: string;
  /** Skip syncing at unmount (5.10): for trees that are thrown away or synced elsewhere. The work directory cannot be used again. */
  readonly volatile: boolean;
}

/** KERNEL: fs/fsopen.c takes string values of at most 255 bytes. */
const maxValueBytes = 255;
/** KERNEL: fs/overlayfs/params.h OVL_MAX_STACK. */
export const maxLayers = 500;
/** KERNEL: mount(2) takes one page of data. */
const maxDataBytes = 4095;

/**
 * The options of an overlay mount for fsconfig: top layer first.
 *
 * @throws CodedError `unsupported` when there are more layers than the kernel stacks, `invalid-argument` for a root path that is too long
 */
function overlayOptions(mount: OverlayMount): string[] {
  if (mount.lower.length > maxLayers) {
    throw new CodedError("unsupported", `cannot stack ${mount.lower.length} layers: overlayfs takes at most ${maxLayers}`);
  }
  const paths = [...mount.lower, mount.upper, mount.work];
  const long = paths.find((path) => Buffer.byteLength(path) > maxValueBytes);
  if (long !== undefined)
    throw new CodedError("invalid-argument", `cannot mount ${long}: the path is over ${maxValueBytes} bytes, use a shorter --root`);
  const lower = [...mount.lower].reverse().map((path) => `lowerdir+=${path}`);
  return [...lower, `upperdir=${mount.upper}`, `workdir=${mount.work}`, ...(mount.volatile ? ["volatile"] : [])];
}

/** The op that mounts it. KERNEL: "lowerdir+" came with 6.7; before, all is one string of mount(2). */
export function overlayMountOps(mount: OverlayMount, kernelRelease: string = release()): Op[] {
  if (!kernelBefore(kernelRelease, 6, 7)) {
    return [{ op: "mount", fstype: "overlay", source: "overlay", target: mount.target, options: overlayOptions(mount), attributes: 0 }];
  }
  const data = legacyOverlayData(mount);
  return [{ op: "mount-data", fstype: "overlay", source: "overlay", target: mount.target, flags: 0, data }];
}

/** A mount of two or more trees, lowest first, that nobody can write to. */
export function lowerMountOps(lower: readonly string[], target: string, kernelRelease: string = release()): Op[] {
  if (lower.length > maxLayers)
    throw new CodedError("unsupported", `cannot stack ${lower.length} layers: overlayfs takes at most ${maxLayers}`);
  const topFirst = [...lower].reverse();
  if (!kernelBefore(kernelRelease, 6, 7)) {
    const options = topFirst.map((path) => `lowerdir+=${path}`);
    return [{ op: "mount", fstype: "overlay", source: "overlay", target, options, attributes: 1 }];
  }
  const data = `lowerdir=${topFirst.map(escapeLower).join(":")}`;
  if (Buffer.byteLength(data) > maxDataBytes) throw tooLong(lower.length);
  return [{ op: "mount-data", fstype: "overlay", source: "overlay", target, flags: 1, data }];
}

/** The data string of mount(2) for kernels before 6.7. @throws CodedError `unsupported` when it does not fit a page */
function legacyOverlayData(mount: OverlayMount): string {
  const lower = [...mount.lower].reverse().map(escapeLower).join(":");
  const data = `lowerdir=${lower},upperdir=${escapeLower(mount.upper)},workdir=${escapeLower(mount.work)}${mount.volatile ? ",volatile" : ""}`;
  if (Buffer.byteLength(data) > maxDataBytes) throw tooLong(mount.lower.length);
  return data;
}

function escapeLower(path: string): string {
  return path.replace(/[\\:,]/g, (char) => `\\${char}`);
}

function tooLong(layers: number): CodedError {
  return new CodedError("unsupported", `cannot stack ${layers} layers: this kernel takes overlay options of at most ${maxDataBytes} bytes`);
}

/** A mount namespace of the executor's own, whose mounts nobody else sees: CLONE_NEWNS, then MS_REC | MS_PRIVATE on all there is. */
export const privateMountOps: readonly Op[] = [
  { op: "unshare", flags: 0x00020000 },
  { op: "propagation", path: "/", flags: 0x4000 | 0x40000 },
];

/** A small overlay in `directory`, to learn whether it can be mounted there at all. */
export function overlayProbeOps(directory: string): { readonly directories: readonly string[]; readonly ops: readonly Op[] } {
  const [lower, upper, work, target] = ["lower", "upper", "work", "merged"].map((name) => join(directory, name)) as [
    string,
    string,
    string,
    string,
  ];
  return {
    directories: [lower, upper, work, target],
    ops: [...privateMountOps, ...overlayMountOps({ lower: [lower], upper, work, target, volatile: true })],
  };
}

function kernelBefore(kernelRelease: string, major: number, minor: number): boolean {
  const [, a = "0", b = "0"] = /^(\d+)\.(\d+)/.exec(kernelRelease) ?? [];
  return Number(a) < major || (Number(a) === major && Number(b) < minor);
}
