/**
 * Making a container: everything is decided and written below tmp/, then appears by one rename, then takes its name.
 *
 * A container's directory is there before its name is, so a name without a directory is always stale.
 */
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import { compileContainer, type CompiledContainer } from "#runtime/compile/compile.ts";
import type { Supervision } from "#runtime/compile/supervision.ts";
import { type HostFacts, readHostFacts } from "#runtime/facts.ts";
import type { Step } from "#program/encode.ts";
import type { Op } from "#program/ops.gen.ts";
import type { StoredImage } from "#image/images.ts";
import type { RuntimeConfig } from "#spec/runtime-config.ts";
import {
  linkName,
  makeDirectory,
  makeDirectoryLike,
  pathExists,
  readName,
  removeEmptyDirectory,
  removeFile,
  renameToNew,
  writeNewText,
} from "#sys/small-files.ts";
import { containerPaths, type ContainerPaths, type EnginePaths } from "../paths.ts";
import type { Place, Snapshotter } from "../place.ts";
import { layerTrees, readAccounts } from "../rootfs/layers.ts";
import { overlayMountOps } from "../rootfs/overlay.ts";
import { makeRuntimeConfig, type ImageProcess, processArguments } from "./config.ts";
import { checkContainerName } from "./names.ts";
import type { ContainerRecord } from "./record.ts";
import { checkRequest, type ContainerRequest } from "./request.ts";
import { resolveUser } from "./user.ts";

/** A container that is decided but not made: nothing is written yet. */
export interface PlannedContainer {
  readonly record: ContainerRecord;
  readonly config: RuntimeConfig;
  readonly files: ContainerPaths;
  readonly compiled: CompiledContainer;
  readonly texts: { readonly hosts: string; readonly hostname: string; readonly resolvConf: string };
}

/** What planning depends on beside the request. */
export interface PlanFacts {
  readonly id: string;
  /** For a container that is given none. */
  readonly inventedName: string;
  readonly image: StoredImage;
  readonly snapshotter: Snapshotter;
  /** /etc/resolv.conf of the host. */
  readonly resolvConf: string;
  readonly now: Date;
}

/** Decides everything about a container. @throws CodedError */
export function planContainer(paths: EnginePaths, request: ContainerRequest, facts: PlanFacts): PlannedContainer {
  checkRequest(request);
  const { id, image, snapshotter } = facts;
  const name = request.name === undefined ? facts.inventedName : checkContainerName(request.name);
  const files = containerPaths(paths, id);
  const process = imageProcess(image);
  const top = image.chainIds.at(-1);
  const accounts = top === undefined ? { passwd: undefined, group: undefined } : readAccounts(paths.layers, top);
  const user = resolveUser(request.user ?? image.config.config.User ?? "", accounts.passwd, accounts.group);
  const host = readHostFacts();
  const config = makeRuntimeConfig({
    id,
    request,
    image: process,
    user,
    rootfs: files.rootfs,
    machine: host.arch,
    kernel: host.kernel,
    files,
  });
  const hostname = config.hostname ?? id.slice(0, 12);
  const cleanup: Step[] = request.autoRemove ? removalSteps(files, join(paths.names, name)) : [];
  const compiled = compileContainer({
    config,
    bundle: files.directory,
    id,
    facts: factsWithFiles(host, files),
    rootfs: snapshotter === "overlay" ? overlaySteps(paths, image, { files, volatile: request.autoRemove }) : [],
    supervision: supervision(paths, request, files),
    extraCleanup: cleanup,
  });
  const record: ContainerRecord = {
    id,
    name,
    createdAt: facts.now.toISOString(),
    image: request.image,
    imageId: image.id,
    manifest: { mediaType: image.descriptor.mediaType, digest: image.descriptor.digest, size: image.descriptor.size },
    layers: image.chainIds,
    command: processArguments(request, process),
    autoRemove: request.autoRemove,
    snapshotter,
    labels: { ...process.labels, ...request.labels },
    cgroups: cgroupsOf(compiled),
  };
  const texts = {
    hosts: `127.0.0.1\tlocalhost ${hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n`,
    hostname: `${hostname}\n`,
    resolvConf: facts.resolvConf,
  };
  return { record, config, files, compiled: keepMemoryEvents(compiled, files), texts };
}

/** Writes a planned container and takes its name. @throws CodedError `already-exists` when the name is taken */
export async function makeContainer(place: Place, planned: PlannedContainer): Promise<void> {
  const { paths } = place;
  const temporary = place.makeTemporary();
  const files = containerPaths({ ...paths, containers: temporary }, "container");
  for (const path of [files.directory, files.rootfs, files.work]) makeDirectory(path, 0o700);
  const top = layerTrees(paths.layers, planned.record.layers).at(-1);
  if (planned.record.snapshotter === "overlay" && top !== undefined) makeDirectoryLike(files.upper, top);
  writeNewText(files.hosts, planned.texts.hosts, 0o644);
  writeNewText(files.hostname, planned.texts.hostname, 0o644);
  writeNewText(files.resolvConf, planned.texts.resolvConf, 0o644);
  writeNewText(files.config, `${JSON.stringify(planned.config, null, 2)}\n`);
  writeNewText(files.record, `${JSON.stringify(planned.record)}\n`);
  if (!renameToNew(files.directory, planned.files.directory))
    throw new CodedError("internal", `container id ${planned.record.id} is taken`);
  removeEmptyDirectory(temporary);
  try {
    await takeName(place, planned.record);
  } catch (error) {
    await place.removeTrees([planned.files.directory]);
    throw error;
  }
}

async function takeName(place: Place, { id, name }: ContainerRecord): Promise<void> {
  const path = join(place.paths.names, name);
  if (linkName(path, id)) return;
  const taken = (): CodedError | undefined => {
    const owner = readName(path);
    if (owner === undefined || !pathExists(join(place.paths.containers, owner))) return undefined;
    return new CodedError(
      "already-exists",
      `cannot name a container ${name}: container ${owner.slice(0, 12)} has that name (gantry rm ${name} removes it)`,
    );
  };
  const error = taken();
  if (error !== undefined) throw error;
  // Its container is gone: whoever holds the lock may take the stale name away, nobody else.
  await place.withLock(() => {
    const late = taken();
    if (late !== undefined) throw late;
    removeFile(path);
    if (!linkName(path, id)) throw new CodedError("already-exists", `cannot name a container ${name}: another one has just taken the name`);
    return Promise.resolve();
  });
}

function supervision(paths: EnginePaths, request: ContainerRequest, files: ContainerPaths): Supervision {
  return {
    kind: "foreground",
    stdio: [request.interactive ? "relay" : "null", "relay", "relay"],
    recordChild: files.child,
    recordExit: files.exit,
    newSession: true,
    // Shared: containers start beside each other, but not while layers are being removed.
    lock: { path: paths.lock, exclusive: false },
  };
}

/** The overlay lives in the container's mount namespace alone: there is no mount on the host that could be left behind. */
function overlaySteps(paths: EnginePaths, image: StoredImage, how: { files: ContainerPaths; volatile: boolean }): Step[] {
  const { upper, work, rootfs } = how.files;
  const lower = layerTrees(paths.layers, image.chainIds);
  const origin = "default: the image's layers, with a writable one on top";
  return overlayMountOps({ lower, upper, work, target: rootfs, volatile: how.volatile }).map((op) => ({ op, origin }));
}

function removalSteps(files: ContainerPaths, namePath: string): Step[] {
  return [
    { op: { op: "remove-tree", path: namePath }, origin: "default: the container is removed when it ends (--rm)" },
    { op: { op: "remove-tree", path: files.directory }, origin: "default: the container is removed when it ends (--rm)" },
  ];
}

/** Before the cgroup goes, its count of out-of-memory kills is kept: who asks later shall learn why a container ended. */
function keepMemoryEvents(compiled: CompiledContainer, files: ContainerPaths): CompiledContainer {
  const memory = cgroupsOf(compiled).find((path) => path.includes("/memory/")) ?? cgroupsOf(compiled)[0];
  if (memory === undefined) return compiled;
  const file = memory.includes("/memory/") ? "memory.oom_control" : "memory.events";
  const keep: Op = { op: "copy-file", source: `${memory}/${file}`, target: files.memoryEvents };
  const { program } = compiled;
  return {
    ...compiled,
    program: { ...program, cleanup: [{ op: keep, origin: "default: tells whether memory ran out" }, ...program.cleanup] },
  };
}

function cgroupsOf({ program }: CompiledContainer): string[] {
  return program.main.flatMap(({ op }) => (op.op === "make-cgroup" || op.op === "make-cpuset" ? [op.path] : []));
}

/** The container's own files are not written yet when their kinds are asked for. */
function factsWithFiles(host: HostFacts, files: ContainerPaths): HostFacts {
  const own = [files.hosts, files.hostname, files.resolvConf];
  return { ...host, isDirectory: (path) => (own.includes(path) ? false : host.isDirectory(path)) };
}

function imageProcess(image: StoredImage): ImageProcess {
  const { config } = image.config;
  return {
    env: config.Env ?? [],
    entrypoint: config.Entrypoint ?? [],
    command: config.Cmd ?? [],
    workingDirectory: config.WorkingDir ?? "",
    labels: config.Labels ?? {},
    stopSignal: config.StopSignal,
  };
}
