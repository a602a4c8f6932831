/** /dev: the devices that every container has, those of the config, and the links beside them. */
import type { Step } from "#program/encode.ts";
import type { ConfigDevice } from "#spec/runtime-config.ts";
import { byDefault, normalizePath, parentPath, step, type Context } from "./context.ts";
import { fileKinds } from "./kernel.ts";
import { parseMountOptions } from "./mount-options.ts";
import { isBind } from "./mounts.ts";

/** A device to make, with the place that asks for it. */
interface PlacedDevice {
  readonly device: ConfigDevice;
  readonly origin: string;
}

/** @see runtime-spec config-linux.md#default-devices; Documentation/admin-guide/devices.txt */
const defaultDevices: readonly ConfigDevice[] = [
  { path: "/dev/null", type: "c", major: 1, minor: 3, fileMode: 0o666 },
  { path: "/dev/zero", type: "c", major: 1, minor: 5, fileMode: 0o666 },
  { path: "/dev/full", type: "c", major: 1, minor: 7, fileMode: 0o666 },
  { path: "/dev/random", type: "c", major: 1, minor: 8, fileMode: 0o666 },
  { path: "/dev/urandom", type: "c", major: 1, minor: 9, fileMode: 0o666 },
  { path: "/dev/tty", type: "c", major: 5, minor: 0, fileMode: 0o666 },
];

/** What programs expect beside the devices. @see runtime-spec runtime-linux.md#dev-symbolic-links */
const links: readonly (readonly [path: string, target: string])[] = [
  ["/dev/fd", "/proc/self/fd"],
  ["/dev/stdin", "/proc/self/fd/0"],
  ["/dev/stdout", "/proc/self/fd/1"],
  ["/dev/stderr", "/proc/self/fd/2"],
  ["/dev/ptmx", "pts/ptmx"],
];

/** Compiles `linux.devices` and the defaults. A host's /dev that is bound into the container is left as it is. */
export function compileDevices(context: Context): Step[] {
  const { config, linux } = context;
  const mounts = (config.mounts ?? []).filter(({ destination }) => normalizePath(destination) === "/dev");
  if (mounts.some((mount) => isBind(mount, parseMountOptions(mount.options ?? [])))) {
    if ((linux.devices ?? []).length > 0) context.warn("ignored /linux/devices: /dev is a bind mount, whose devices are the host's");
    return [];
  }
  const origin = byDefault("every container has a /dev");
  return [
    ...(mounts.length > 0 ? [] : [step({ op: "ensure-directory", path: "/dev", mode: 0o755 }, origin)]),
    ...placeDevices(context).flatMap((placed) => makeDevice(context, placed)),
    ...links.map(([path, target]) => step({ op: "make-symlink", path, target }, byDefault("programs expect this link in /dev"))),
  ];
}

/** Defaults that the config does not give itself, then the config's. */
function placeDevices({ linux }: Context): PlacedDevice[] {
  const asked = (linux.devices ?? []).map((device, index): PlacedDevice => ({
    device: { ...device, path: normalizePath(device.path) },
    origin: `/linux/devices/${index}`,
  }));
  const paths = new Set(asked.map(({ device }) => device.path));
  const defaults = defaultDevices
    .filter(({ path }) => !paths.has(path))
    .map((device): PlacedDevice => ({ device, origin: byDefault("every container has this device") }));
  return [...defaults, ...asked];
}

function makeDevice({ hasUserNamespace, facts }: Context, { device, origin }: PlacedDevice): Step[] {
  const { path, type, major = 0, minor = 0, fileMode = 0o666, uid = 0, gid = 0 } = device;
  const parent = parentPath(path);
  const steps = parent === "/dev" || parent === "/" ? [] : [step({ op: "ensure-directory", path: parent, mode: 0o755 }, origin)];
  if ((hasUserNamespace || facts.user.isNested()) && type !== "p") {
    // KERNEL: mknod() of a device needs CAP_MKNOD in the initial user namespace; the host's node serves as well.
    steps.push(
      step({ op: "ensure-file", path, mode: 0o666 }, origin),
      step({ op: "bind", source: path, target: path, recursive: 0 }, origin),
    );
    return steps;
  }
  const kind = type === "p" ? fileKinds.fifo : type === "b" ? fileKinds.block : fileKinds.character;
  // A fifo has no numbers, whatever the config says beside it.
  const numbers = type === "p" ? { major: 0, minor: 0 } : { major, minor };
  steps.push(step({ op: "make-node", path, mode: kind | (fileMode & 0o7777), ...numbers, uid, gid }, origin));
  return steps;
}
