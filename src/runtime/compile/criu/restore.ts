/**
 * `restore` as a program: a container whose processes criu makes from files, instead of a clone and an exec.
 *
 * criu is a child in the container's cgroups and in a mount namespace of its own, where the root file system is mounted for it; so
 * nothing of that is ever seen on the host. What it restores are processes beside it, of which the executor adopts the first.
 */
import type { Program, Step } from "#program/encode.ts";
import type { RuntimeConfig } from "#spec/runtime-config.ts";
import { requireValidConfig } from "#spec/validate/config.ts";
import type { HostFacts } from "../../facts.ts";
import { compileCgroup, type CgroupPlan } from "../cgroup/cgroup.ts";
import type { CgroupManager } from "../context.ts";
import { makeContext, type MadeForContainer } from "../compile.ts";
import { byDefault, resolveHostPath, step, type Context } from "../context.ts";
import { compileHooks, hasHooks } from "../hooks.ts";
import { cloneFlags, propagationFlags as ms } from "../kernel.ts";
import { compileResctrl } from "../resctrl.ts";
import { compileSupervision, type Supervision } from "../supervision.ts";
import { compileTerminal } from "../terminal.ts";
import { refuseUnsupported, warnOfOtherPlatforms } from "../unsupported.ts";
import { joinedNamespaces, maskKey, mountPlaces, outsideMounts, outsideNamespaces, type OutsideInput } from "./outside.ts";
import type { CriuOptions } from "./request.ts";
import { ask, becomeCriu, criuSection, inheritedFd, directoryOptions, type CriuCall } from "./talk.ts";

/** Where criu writes what it does, in its work directory. */
export const restoreLog = "restore.log";

/** What a restored container is compiled from. */
export interface RestoreInput {
  readonly call: CriuCall;
  readonly config: RuntimeConfig;
  /** Absolute host path of the bundle, without symbolic links. */
  readonly bundle: string;
  readonly id: string;
  readonly facts: HostFacts;
  readonly supervision: Supervision;
  readonly cgroupManager: CgroupManager;
  /** Run first of all, when it is known what else there will be. */
  readonly begin: (made: MadeForContainer) => readonly Step[];
  /** Absolute path of a directory, made when missing, that the root file system is mounted at for criu. */
  readonly mountPoint: string;
  /** What the container's standard files were, from the image. */
  readonly descriptors: readonly string[];
  /** Resolves a path of the container's within its root file system. */
  readonly resolve: (path: string) => string;
  /** What the caller asks of criu. */
  readonly options: CriuOptions;
  readonly warn: (sentence: string) => void;
}

/** Compiles a restored container. @throws CodedError as `compileContainer` */
export function compileRestore(input: RestoreInput): Program {
  const { call, config, supervision, warn } = input;
  requireValidConfig(config);
  refuseUnsupported(config);
  warnOfOtherPlatforms(config, warn);
  const context = makeContext(input, warn);
  const cgroup = compileCgroup(context);
  const resctrl = compileResctrl(context);
  const hasTerminal = config.process?.terminal === true;
  const moments = compileSupervision(supervision, { poststart: [], hasTerminal });
  const terminal = config.process === undefined ? [] : compileTerminal(context, config.process, { supervision }).beforeClone;
  const cleanup = [...cgroup.cleanup, ...resctrl.cleanup];
  const rootfs = resolveHostPath(context.bundle, config.root?.path ?? "");
  const outside: OutsideInput = { ...input, cgroups: cgroup.directories, isUnified: context.facts.cgroup.version === "v2" };
  const asked = byDefault("asked for");
  const main = [
    ...input.begin({ config: withTimeNamespace(context), cleanup, cgroups: cgroup.directories, rootfs }),
    ...moments.begin,
    step({ op: "ensure-directory", path: call.workPath, mode: 0o700 }, asked),
    ...cgroup.prepare,
    ...resctrl.prepare,
    ...moments.stdio,
    ...terminal.filter(({ op }) => op.op !== "open-console"),
    step({ op: "clone", section: criuSection, flags: cloneFlags.mount, cgroup: cgroup.cloneInto ?? "" }, asked),
    // After the clone, since it is not the child that sends the terminal.
    ...terminal.filter(({ op }) => op.op === "open-console"),
    ...cgroup.afterClone,
    ...resctrl.assign,
    ...ask(call, {
      type: "restore",
      options: { ...directoryOptions, ...restoreOptions(input, { context, cgroup, outside }), ...input.options },
      adopt: true,
      pauses: hasHooks(config, "prestart", "createRuntime")
        ? [{ notice: "setup-namespaces", steps: [...compileHooks(context, "prestart"), ...compileHooks(context, "createRuntime")] }]
        : [],
    }),
    ...moments.recordChild,
    ...moments.end.filter(({ op }) => op.op !== "await-exec"),
  ];
  return { main, cleanup, children: [compileChild(input, { cgroup, outside, rootfs })] };
}

function compileChild(
  { call, config, facts, mountPoint }: RestoreInput,
  { cgroup, outside, rootfs }: { readonly cgroup: CgroupPlan; readonly outside: OutsideInput; readonly rootfs: string },
): Step[] {
  const origin = byDefault("criu wants a root that is a mount");
  const places = mountPlaces(outside, facts.isDirectory);
  return [
    step({ op: "await-parent" }, byDefault("the parent prepares the child's cgroups")),
    ...cgroup.inChild,
    step({ op: "propagation", path: "/", flags: ms.slave | ms.recursive }, byDefault("the host must not see what is mounted for criu")),
    step({ op: "ensure-directory", path: mountPoint, mode: 0o755 }, origin),
    step({ op: "bind", source: rootfs, target: mountPoint, recursive: 1 }, "/root/path"),
    step({ op: "root", path: mountPoint }, "/root/path"),
    ...places.make,
    ...places.undo,
    ...becomeCriu(
      call,
      outsideNamespaces(config).map(({ path }) => path),
    ),
  ];
}

function restoreOptions(
  { config, mountPoint, descriptors }: RestoreInput,
  { context, cgroup, outside }: { readonly context: Context; readonly cgroup: CgroupPlan; readonly outside: OutsideInput },
): CriuOptions {
  const mounts = outsideMounts(outside).map(({ key, source }) => `mnt[${key}]:${source}`);
  const masks = (config.linux?.maskedPaths ?? []).length === 0 ? [] : [`mnt[${maskKey}]:/dev/null`];
  const isInherited = (name: string): boolean => name.startsWith("pipe:") || name.startsWith("file[");
  return {
    logLevel: 4,
    logFile: restoreLog,
    root: mountPoint,
    notifyScripts: 1,
    orphanPtsMaster: 1,
    evasiveDevices: 1,
    restoreSibling: 1,
    emptyNamespaces: cloneFlags.network,
    external: [...mounts, ...masks],
    cgroupRoots: cgroupRoots(context, cgroup),
    joinedNamespaces: joinedNamespaces(config),
    inheritedFds: [
      ...descriptors.flatMap((name, fd) => (isInherited(name) ? [[name, fd]] : [])),
      ...outsideNamespaces(config).map(({ key }, index) => [key, inheritedFd(index)]),
    ],
  };
}

/** Where the container's cgroups are in each hierarchy, by the names of its controllers; criu calls the v2 tree "". */
function cgroupRoots({ facts }: Context, { directories }: CgroupPlan): (readonly [controller: string, path: string])[] {
  return directories.flatMap(({ hierarchy, path }): (readonly [string, string])[] => {
    const mountPoint = (hierarchy ?? facts.cgroup.unified)?.mountPoint ?? "";
    const below = path.slice(mountPoint.length);
    if (hierarchy === undefined) return [["", below]];
    const names = hierarchy.name === undefined ? hierarchy.controllers : [`name=${hierarchy.name}`];
    return names.map((name) => [name, below]);
  });
}

/** KERNEL, CRIU 3.14: clocks that only rise must not go back, so what is restored lives in a time namespace; `exec` has to join it. */
function withTimeNamespace({ config, linux, facts }: Context): RuntimeConfig {
  const namespaces = linux.namespaces ?? [];
  if (!facts.namespaces.includes("time") || namespaces.some(({ type }) => type === "time")) return config;
  return { ...config, linux: { ...linux, namespaces: [...namespaces, { type: "time" }] } };
}
