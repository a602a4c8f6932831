/**
 * `exec`: another process in a container that runs. It is born in the pid namespace, moves itself into the cgroups, joins all other
 * namespaces at once through the container's process, and then goes the way of a container's first process.
 */
import { CodedError } from "#base/errors.ts";
import { childSection, type Program, type Step } from "#program/encode.ts";
import type { ConfigProcess, NamespaceKind } from "#spec/runtime-config.ts";
import type { HostFacts } from "../facts.ts";
import type { StateFiles } from "../state-files.ts";
import { type CgroupDirectory, placeDirectories } from "./cgroup/place.ts";
import { byDefault, findNamespace, hasCapability, isRootlessBy, joinPath, normalizePath, step, type Context } from "./context.ts";
import { compileCredentials } from "./credentials.ts";
import { cloneFlags } from "./kernel.ts";
import { compileKeyring, compileLabels } from "./labels.ts";
import type { ContainerRecord } from "./lifecycle.ts";
import { becomeRoot } from "./namespaces.ts";
import { compileExec, compileSurroundings } from "./process.ts";
import { compileExecAffinity, compileScheduling } from "./scheduling.ts";
import { compileSeccomp } from "./seccomp/seccomp.ts";
import { compileSupervision, type Supervision } from "./supervision.ts";
import { compileTerminal, listenVariables } from "./terminal.ts";

/** What a process is added with. */
export interface JoinInput {
  readonly record: ContainerRecord;
  readonly files: StateFiles;
  /** The container's first process. */
  readonly pid: number;
  readonly process: ConfigProcess;
  readonly facts: HostFacts;
  readonly supervision: Supervision;
  /** Cgroups below the container's that the process is put into instead of those; none when absent. */
  readonly subgroups?: readonly Subgroup[];
  /** Told about what was asked for and cannot be given. */
  readonly warn: (sentence: string) => void;
}

/** A cgroup below the container's own. */
export interface Subgroup {
  /** v1 only: in the hierarchies of these; in all when there are none. */
  readonly controllers: readonly string[];
  /** Relative to the container's cgroup. */
  readonly path: string;
}

/** Compiles the process. @throws CodedError `invalid-argument`, `unsupported` */
export function compileJoin(input: JoinInput): Program {
  const { record, files, process, facts, supervision } = input;
  const context = contextOf(input);
  const moments = compileSupervision(supervision, { poststart: [], hasTerminal: process.terminal === true });
  const terminal = compileTerminal(context, process, { supervision, console: false });
  const affinity = compileExecAffinity(process);
  const seccomp = compileSeccomp(context);
  const directories = placeSubgroups(placeDirectories(record.cgroups, facts.cgroup), input.subgroups ?? []);
  const score = process.oomScoreAdj;
  // KERNEL: setns(2): to join a pid namespace, a user needs the rights that the user namespace gives.
  const isExecutors = (kind: NamespaceKind): boolean => kind === "pid" || (kind === "user" && !context.isPrivileged);
  const asked = byDefault("a process joins the container");
  const main: Step[] = [
    ...moments.begin,
    ...affinity.initial,
    step({ op: "open-process", record: files.child, required: 1 }, byDefault("its namespaces are the container's")),
    ...moments.stdio,
    ...terminal.beforeClone,
    ...seccomp.beforeClone,
    // KERNEL: pid_namespaces(7): only children are born into a pid namespace that is joined.
    ...joinStep(context, isExecutors),
    step({ op: "clone", section: childSection(0), flags: 0, cgroup: unifiedCgroup(input, directories) }, asked),
    ...(score === undefined ? [] : [step({ op: "child-file", file: "oom_score_adj", data: String(score) }, "/process/oomScoreAdj")]),
    step({ op: "release-child" }, asked),
    ...moments.end.filter(({ op }) => op.op !== "cleanup"),
  ];
  const child: Step[] = [
    step({ op: "await-parent" }, byDefault("the parent knows the child first")),
    ...directories
      .filter(({ hierarchy }) => hierarchy !== undefined)
      .map(({ path }) =>
        step({ op: "write", path: `${path}/tasks`, data: "0", fsMagic: 0 }, byDefault("the container's limits hold for it")),
      ),
    ...affinity.final,
    ...compileLabels(context, process),
    ...joinStep(context, (kind) => !isExecutors(kind)),
    ...becomeRoot(context),
    ...(record.noNewKeyring === true ? [] : compileKeyring(context)),
    step({ op: "new-session" }, byDefault("the process has no terminal of its caller's")),
    ...terminal.inChild,
    ...compileSurroundings(process),
    ...compileScheduling(context, process),
    ...compileCredentials(context, process),
    ...(process.noNewPrivileges === true ? [step({ op: "no-new-privileges" }, "/process/noNewPrivileges")] : []),
    ...seccomp.inChild,
    compileExec(process, listenVariables(supervision.descriptors ?? {})),
  ];
  return { main, cleanup: [], children: [child] };
}

/** The directories, each with its subgroup. @throws CodedError `invalid-argument` for a subgroup of a controller that there is not */
function placeSubgroups(directories: readonly CgroupDirectory[], subgroups: readonly Subgroup[]): readonly CgroupDirectory[] {
  const isFor = ({ controllers }: Subgroup, { hierarchy }: CgroupDirectory): boolean =>
    controllers.length === 0 || controllers.some((name) => hierarchy?.controllers.includes(name) ?? false);
  for (const group of subgroups) {
    if (directories.some((directory) => isFor(group, directory))) continue;
    const [name = "any"] = group.controllers;
    throw new CodedError("invalid-argument", `option --cgroup: the container has no cgroup of ${name}`);
  }
  return directories.map((directory) => {
    const group = subgroups.findLast((one) => isFor(one, directory));
    // SECURITY: ".." must not lead out of the container's part of the tree.
    return group === undefined ? directory : { ...directory, path: joinPath(directory.path, normalizePath(group.path)) };
  });
}

/**
 * The v2 directory that the process is born in: the container's, or where its first process is when the container has divided that.
 * KERNEL: cgroup-v2.rst, "no internal processes": a cgroup that hands controllers down takes no process. runc does the same.
 */
function unifiedCgroup({ facts, pid, subgroups = [] }: JoinInput, directories: readonly CgroupDirectory[]): string {
  const path = directories.find(({ hierarchy }) => hierarchy === undefined)?.path ?? "";
  const { read } = facts.cgroupFiles;
  if (path === "" || subgroups.length > 0 || (read(`${path}/cgroup.subtree_control`) ?? "").trim() === "") return path;
  const line = (read(`/proc/${pid}/cgroup`) ?? "").split("\n").find((one) => one.startsWith("0::")) ?? "0::/";
  const first = joinPath(facts.cgroup.unified?.mountPoint ?? "/", line.slice("0::".length));
  // SECURITY: the container may have moved it, but nowhere else may it take others.
  return first.startsWith(`${path}/`) ? first : path;
}

function contextOf({ record, process, facts, warn }: JoinInput): Context {
  const config = { ...record.config, process };
  const linux = config.linux ?? {};
  return {
    config,
    linux,
    id: record.id,
    bundle: record.bundle,
    facts,
    isPrivileged: hasCapability(facts.capabilities.effective, "CAP_SYS_ADMIN"),
    isRootless: isRootlessBy(facts),
    hasUserNamespace: findNamespace(linux, "user") !== undefined,
    cgroupManager: "cgroupfs",
    warn,
  };
}

/** Joins those of the container's namespaces that `isWanted`; nothing when it has none of them. */
function joinStep({ linux }: Context, isWanted: (kind: NamespaceKind) => boolean): Step[] {
  const flags = (linux.namespaces ?? []).filter(({ type }) => isWanted(type)).reduce((bits, { type }) => bits + cloneFlags[type], 0);
  return flags === 0 ? [] : [step({ op: "join", flags }, "/linux/namespaces")];
}
