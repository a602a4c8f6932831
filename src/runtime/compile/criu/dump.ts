/** `checkpoint` as a program: criu writes the container's processes to files; then, unless they go on, what is left of it is removed. */
import type { Program } from "#program/encode.ts";
import type { HostFacts } from "../../facts.ts";
import type { StateFiles } from "../../state-files.ts";
import { placeDirectories } from "../cgroup/place.ts";
import { byDefault, step } from "../context.ts";
import { cloneFlags } from "../kernel.ts";
import { compileDelete, type ContainerRecord } from "../lifecycle.ts";
import { maskKey, outsideMounts, outsideNamespaces } from "./outside.ts";
import type { CriuOptions } from "./request.ts";
import { ask, becomeCriu, criuSection, directoryOptions, type CriuCall } from "./talk.ts";

/** Where criu writes what it does, in its work directory. */
export const dumpLog = "dump.log";

/** The file of an image that says what the container's standard files were, as an array of texts. runc's images have it too. */
export const descriptorsFile = "descriptors.json";

/** What the container looks like from outside. */
export interface DumpSubject {
  readonly pid: number;
  /** Its standard files as `descriptorsFile` has them. */
  readonly descriptors: readonly string[];
  /** Masked paths that are files. */
  readonly maskedFiles: readonly string[];
  /** Resolves a path of the container's within its root file system. */
  readonly resolve: (path: string) => string;
  /** The inode of the namespace at a path. */
  readonly namespaceInode: (path: string) => string;
}

/** What a dump is compiled from. */
export interface DumpInput {
  readonly call: CriuCall;
  readonly record: ContainerRecord;
  readonly files: StateFiles;
  readonly facts: HostFacts;
  readonly subject: DumpSubject;
  readonly preDump: boolean;
  readonly leaveRunning: boolean;
  /** What the caller asks of criu. */
  readonly options: CriuOptions;
}

/** Compiles a dump. */
export function compileDump(input: DumpInput): Program {
  const { call, record, files, subject, preDump, leaveRunning } = input;
  const asked = byDefault("asked for");
  const removal = compileDelete(record, files, true);
  const endsIt = !preDump && !leaveRunning;
  return {
    main: [
      step({ op: "on-failure", cleanup: 0 }, byDefault("a container that cannot be written to files goes on")),
      step({ op: "open-process", record: files.child, required: 1 }, byDefault("a container that runs is meant")),
      step({ op: "ensure-directory", path: call.imagePath, mode: 0o700 }, asked),
      step({ op: "ensure-directory", path: call.workPath, mode: 0o700 }, asked),
      ...(preDump
        ? []
        : [
            step(
              { op: "create-file", path: `${call.imagePath}/${descriptorsFile}`, mode: 0o600, data: toBytes(subject.descriptors) },
              asked,
            ),
          ]),
      step({ op: "clone", section: criuSection, flags: 0, cgroup: "" }, asked),
      ...ask(call, {
        type: preDump ? "pre-dump" : "dump",
        options: { ...directoryOptions, ...dumpOptions(input), ...input.options },
        adopt: false,
      }),
      ...(endsIt ? removal.main : []),
    ],
    cleanup: endsIt ? removal.cleanup : [],
    children: [[step({ op: "await-parent" }, byDefault("the parent knows the child first")), ...becomeCriu(call)]],
  };
}

function dumpOptions({ record, facts, subject, preDump, leaveRunning }: DumpInput): CriuOptions {
  const { config, rootfs, freezer } = record;
  const outside = {
    config,
    bundle: record.bundle,
    cgroups: placeDirectories(record.cgroups, facts.cgroup),
    isUnified: facts.cgroup.version === "v2",
    resolve: subject.resolve,
  };
  const mounts = preDump
    ? []
    : [
        ...outsideMounts(outside).map(({ inside, key }) => `mnt[${inside}]:${key}`),
        ...subject.maskedFiles.map((path) => `mnt[${path}]:${maskKey}`),
      ];
  const namespaces = outsideNamespaces(config).map(({ kind, key, path }) => `${kind}[${subject.namespaceInode(path)}]:${key}`);
  const openFiles = subject.descriptors.filter((name) => name.startsWith("file["));
  return {
    pid: subject.pid,
    logLevel: 4,
    logFile: dumpLog,
    root: rootfs,
    notifyScripts: 1,
    orphanPtsMaster: 1,
    leaveRunning: leaveRunning ? 1 : 0,
    // Nothing of network devices is kept: they are the engine's.
    emptyNamespaces: cloneFlags.network,
    external: [...mounts, ...namespaces, ...openFiles],
    ...(freezer === undefined ? {} : { freezeCgroup: freezer.slice(0, freezer.lastIndexOf("/")) }),
  };
}

function toBytes(descriptors: readonly string[]): Uint8Array {
  return Buffer.from(JSON.stringify(descriptors));
}
