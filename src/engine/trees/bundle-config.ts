/**
 * An image's config -> the config.json of a bundle that any runtime runs. Pure.
 *
 * @see image-spec conversion.md. What the image does not say is as `runc spec` has it, so that bundles of both look alike.
 */
import type { ConfigMount, LinuxConfig, RuntimeConfig } from "#spec/runtime-config.ts";
import type { ImageConfig } from "#spec/image-config.ts";
import { defaultCapabilities, defaultPath, maskedPaths, readonlyPaths } from "../containers/config.ts";
import type { ResolvedUser } from "../containers/user.ts";

/** What the config is made of. */
export interface BundleConfigInput {
  readonly image: ImageConfig;
  /** `User`, resolved in the root file system. */
  readonly user: ResolvedUser;
  /** Ids of the host's user who unpacked, when that was not root. */
  readonly rootless?: { readonly uid: number; readonly gid: number };
}

/** The config.json. */
export function makeBundleConfig({ image, user, rootless }: BundleConfigInput): RuntimeConfig {
  const { config } = image;
  const held = user.uid === 0 ? defaultCapabilities : [];
  // Without root one id can be mapped: there are no other groups.
  const groups = rootless === undefined ? [...user.additionalGids] : [];
  const args = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user: { uid: user.uid, gid: user.gid, ...(groups.length === 0 ? {} : { additionalGids: groups }) },
      args: args.length === 0 ? ["sh"] : args,
      env: environmentOf(image, user),
      cwd: workingDirectoryOf(config.WorkingDir),
      capabilities: { bounding: defaultCapabilities, effective: held, permitted: held, inheritable: [], ambient: [] },
      noNewPrivileges: rootless !== undefined,
    },
    root: { path: "rootfs", readonly: false },
    hostname: "gantry",
    mounts: [...mountsOf(rootless !== undefined), ...volumesOf(image)],
    annotations: annotationsOf(image),
    linux: linuxOf(rootless),
  };
}

/** SPEC: conversion.md#annotation-fields; labels win over what is told implicitly. */
export function annotationsOf(image: ImageConfig): Record<string, string> {
  const { config } = image;
  const told: Record<string, string | undefined> = {
    "org.opencontainers.image.os": image.os,
    "org.opencontainers.image.architecture": image.architecture,
    "org.opencontainers.image.variant": image.variant,
    "org.opencontainers.image.os.version": image["os.version"],
    "org.opencontainers.image.os.features": listOf(image["os.features"] ?? []),
    "org.opencontainers.image.author": image.author,
    "org.opencontainers.image.created": image.created,
    "org.opencontainers.image.stopSignal": config.StopSignal,
    "org.opencontainers.image.exposedPorts": listOf(Object.keys(config.ExposedPorts ?? {}).sort()),
  };
  const present = Object.entries(told).filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== "");
  return { ...Object.fromEntries(present), ...config.Labels };
}

function listOf(items: readonly string[]): string | undefined {
  return items.length === 0 ? undefined : items.join(",");
}

/** SPEC: conversion.md: defaults may be added, but never under a name that the image has. */
function environmentOf({ config }: ImageConfig, user: ResolvedUser): string[] {
  const env = [...(config.Env ?? [])];
  const has = (name: string): boolean => env.some((entry) => entry === name || entry.startsWith(`${name}=`));
  return [...(has("PATH") ? [] : [defaultPath]), ...env, ...(has("HOME") ? [] : [`HOME=${user.home ?? "/"}`])];
}

function workingDirectoryOf(path: string | undefined): string {
  return path === undefined || path === "" ? "/" : path.startsWith("/") ? path : `/${path}`;
}

/** What a program writes there is no part of the image; what the image has there is copied into it at the start. */
function volumesOf({ config }: ImageConfig): ConfigMount[] {
  return Object.keys(config.Volumes ?? {})
    .filter((path) => path.startsWith("/"))
    .sort()
    .map((destination) => ({ destination, type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", "mode=755", "tmpcopyup"] }));
}

function mountsOf(isRootless: boolean): ConfigMount[] {
  const pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
  const sys: ConfigMount = isRootless
    ? { destination: "/sys", type: "none", source: "/sys", options: ["rbind", "nosuid", "noexec", "nodev", "ro"] }
    : { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] };
  return [
    { destination: "/proc", type: "proc", source: "proc" },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
    { destination: "/dev/pts", type: "devpts", source: "devpts", options: isRootless ? pts : [...pts, "gid=5"] },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
    sys,
  ];
}

function linuxOf(rootless: BundleConfigInput["rootless"]): LinuxConfig {
  const namespaces = ["pid", "ipc", "uts", "mount"].map((type) => ({ type }));
  if (rootless === undefined) {
    return {
      namespaces: [...namespaces, { type: "network" }] as NonNullable<LinuxConfig["namespaces"]>,
      resources: { devices: [{ allow: false, access: "rwm" }] },
      maskedPaths,
      readonlyPaths,
    };
  }
  return {
    namespaces: [...namespaces, { type: "user" }] as NonNullable<LinuxConfig["namespaces"]>,
    uidMappings: [{ containerID: 0, hostID: rootless.uid, size: 1 }],
    gidMappings: [{ containerID: 0, hostID: rootless.gid, size: 1 }],
    maskedPaths,
    readonlyPaths,
  };
}
