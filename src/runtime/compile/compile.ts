/**
 * The runtime compiler: a config.json and facts about the host in, a program out. Pure.
 *
 * Each file beside this one compiles one part of the config into steps, by the moment at which they must run;
 * here the moments are put in order, which is the order of everything that a container's start does.
 */
import { childSection, type Program, type Step } from "#program/encode.ts";
import type { ConfigProcess, RuntimeConfig } from "#spec/runtime-config.ts";
import { requireValidConfig } from "#spec/validate/config.ts";
import type { HostFacts } from "../facts.ts";
import { checkAnnotations } from "./annotations.ts";
import { compileCgroup, type CgroupDirectory } from "./cgroup/cgroup.ts";
import { limitsOfVersion } from "./cgroup/older-limits.ts";
import type { CgroupManager } from "./context.ts";
import {
  byDefault,
  findNamespace,
  hasCapability,
  isRootlessBy,
  normalizePath,
  resolveHostPath,
  step,
  unsupported,
  type Context,
} from "./context.ts";
import { compileCredentials } from "./credentials.ts";
import { compileDevices } from "./devices.ts";
import { compileHooks, hasHooks } from "./hooks.ts";
import { compileInterfaces } from "./interfaces.ts";
import { compileKeyring, compileLabels } from "./labels.ts";
import { compileMounts, type MountPlan } from "./mounts.ts";
import { becomeRoot, compileNamespaces } from "./namespaces.ts";
import { compileProtectedPaths, compileSysctl } from "./paths.ts";
import { compileExec, compileExecutableCheck, compileSurroundings } from "./process.ts";
import { compileResctrl } from "./resctrl.ts";
import { compileRootfs, type RootfsPlan } from "./rootfs.ts";
import { compileScheduling } from "./scheduling.ts";
import { compileSeccomp, type SeccompPlan } from "./seccomp/seccomp.ts";
import { compileSupervision, type Supervision } from "./supervision.ts";
import { compileTerminal, listenVariables, type TerminalPlan } from "./terminal.ts";
import { refuseUnsupported, warnOfOtherPlatforms } from "./unsupported.ts";

/** What a container program is compiled from. */
export interface ContainerInput {
  readonly config: RuntimeConfig;
  /** Absolute host path of the bundle, without symbolic links; relative host paths in the config start there. */
  readonly bundle: string;
  readonly id: string;
  readonly facts: HostFacts;
  /**
   * Steps that mount the root file system at `root.path`, such as an overlay; run in the container's mount namespace,
   * so that nobody else sees it. Without them, what is there is taken. Origins are the caller's words.
   */
  readonly rootfs?: readonly Step[];
  readonly supervision: Supervision;
  /** Run first of all, when it is known what else there will be; origins are the caller's words. */
  readonly begin?: (made: MadeForContainer) => readonly Step[];
  /** Run after the container's own cleanup, at its end or after a failure; origins are the caller's words. */
  readonly extraCleanup?: readonly Step[];
  /** Who makes the control groups; "cgroupfs", which is we, when absent. */
  readonly cgroupManager?: CgroupManager;
  /** Whether to leave out what only the host's root may do, such as cgroups that nobody asked for; by default, unless this is root. */
  readonly rootless?: "true" | "false" | "auto";
  /** Where pivot_root cannot work (the root is the initramfs). */
  readonly noPivot?: boolean;
  /** Leaves the container in the session keyring of its caller. */
  readonly noNewKeyring?: boolean;
}

/** What lies outside of the program and is needed after it. */
export interface MadeForContainer {
  readonly config: RuntimeConfig;
  /** Absolute host paths of the container's cgroups. */
  readonly cgroups: readonly CgroupDirectory[];
  /** Absolute host path of its root file system. */
  readonly rootfs: string;
  /** What removes all that was made outside of the container. */
  readonly cleanup: readonly Step[];
}

/** A program with what could not be given to it. */
export interface CompiledContainer {
  readonly program: Program;
  /** Sentences for the user, about what was asked for and is left out. */
  readonly warnings: readonly string[];
}

/**
 * Compiles a container.
 * @throws CodedError `invalid-spec` when the config breaks a rule, `unsupported` when it asks for what cannot be done
 * here or is not implemented, `not-found` when the source of a bind mount is missing.
 */
export function compileContainer(input: ContainerInput): CompiledContainer {
  const { config, supervision } = input;
  checkInput(input);
  const warnings: string[] = [];
  const context = makeContext(input, (sentence) => warnings.push(sentence));
  warnOfOtherPlatforms(config, context.warn);
  checkAnnotations(config, context.warn);
  const cgroup = compileCgroup(context);
  const namespaces = compileNamespaces(context, { section: childSection(0), cgroup: cgroup.cloneInto ?? "" });
  const resctrl = compileResctrl(context);
  const interfaces = compileInterfaces(context);
  const seccomp = compileSeccomp(context);
  const rootfs = compileRootfs(context, input.rootfs ?? [], input.noPivot !== true);
  const mounts = compileMounts(context, cgroup.directories);
  const moments = compileSupervision(supervision, {
    poststart: compileHooks(context, "poststart"),
    hasTerminal: config.process?.terminal === true,
  });
  const terminal = config.process === undefined ? noTerminal : compileTerminal(context, config.process, { supervision });
  const cleanup = [...rootfs.cleanup, ...cgroup.cleanup, ...resctrl.cleanup];
  const rootPath = resolveHostPath(context.bundle, config.root?.path ?? "");
  const made: MadeForContainer = { config, cleanup, cgroups: cgroup.directories, rootfs: rootPath };
  const score = config.process?.oomScoreAdj;
  const main = [
    ...(input.begin?.(made) ?? []),
    ...moments.begin,
    ...cgroup.prepare,
    ...resctrl.prepare,
    ...moments.stdio,
    ...terminal.beforeClone,
    ...interfaces.beforeJoin,
    ...seccomp.beforeClone,
    // Before anything is joined: what the host's root may open, the container's may not.
    ...mounts.open,
    ...namespaces.beforeClone,
    namespaces.clone,
    ...cgroup.afterClone,
    ...namespaces.mappings,
    ...resctrl.assign,
    ...interfaces.afterClone,
    // By the parent: the container's root may not lower it, and its /proc may not be there.
    ...(score === undefined ? [] : [step({ op: "child-file", file: "oom_score_adj", data: String(score) }, "/process/oomScoreAdj")]),
    ...moments.recordChild,
    step({ op: "release-child" }, byDefault("the child's cgroups and id maps are there")),
    ...runtimeHooks(context),
    ...moments.end,
  ];
  const child = [
    step({ op: "await-parent" }, byDefault("the parent prepares the child's cgroups and id maps")),
    // First of all, while the paths are the host's: what the child does from here on counts.
    ...cgroup.inChild,
    ...compileLabels(context, processOf(config)),
    ...namespaces.inChild,
    ...compileChild(context, input, { rootfs, mounts, terminal, seccomp }),
  ];
  return { program: { main, cleanup: [...cleanup, ...(input.extraCleanup ?? [])], children: [child] }, warnings };
}

function checkInput({ config, supervision }: ContainerInput): void {
  requireValidConfig(config);
  refuseUnsupported(config);
  // It may be missing until `start`; everything else starts at once.
  if (config.process === undefined && supervision.kind !== "create")
    throw unsupported("/process", "it is missing, and there is nothing to start");
}

/** Hooks in the host's namespaces: the child waits for them with all mounts made, before it pivots. */
function runtimeHooks(context: Context): Step[] {
  if (!hasHooks(context.config, "prestart", "createRuntime")) return [];
  return [
    step({ op: "await-child" }, byDefault("hooks run when the container's mounts are made")),
    ...compileHooks(context, "prestart"),
    ...compileHooks(context, "createRuntime"),
    step({ op: "release-child" }, byDefault("the hooks have run")),
  ];
}

/** What the child does about hooks before it pivots. */
function waitForHooks(context: Context): Step[] {
  return [
    ...(hasHooks(context.config, "prestart", "createRuntime")
      ? [
          step({ op: "reach" }, byDefault("hooks run when the container's mounts are made")),
          step({ op: "await-parent" }, byDefault("hooks run before the root is entered")),
        ]
      : []),
    ...compileHooks(context, "createContainer"),
  ];
}

const noTerminal: TerminalPlan = { beforeClone: [], inChild: [] };

/** What the child does once it is in all its namespaces. */
function compileChild(
  context: Context,
  input: ContainerInput,
  {
    rootfs,
    mounts,
    terminal,
    seccomp,
  }: { readonly rootfs: RootfsPlan; readonly mounts: MountPlan; readonly terminal: TerminalPlan; readonly seccomp: SeccompPlan },
): Step[] {
  const { config } = context;
  const process = processOf(config);
  return [
    step({ op: "new-session" }, byDefault("the container has no terminal of its caller's")),
    ...((config.hostname ?? "") === "" ? [] : [step({ op: "hostname", name: config.hostname ?? "" }, "/hostname")]),
    ...((config.domainname ?? "") === "" ? [] : [step({ op: "domainname", name: config.domainname ?? "" }, "/domainname")]),
    ...compileSysctl(context),
    ...rootfs.open,
    ...becomeRoot(context),
    ...mounts.make,
    ...compileDevices(context),
    ...(input.noNewKeyring === true ? [] : compileKeyring(context)),
    step({ op: "ensure-directory", path: normalizePath(process.cwd), mode: 0o755 }, "/process/cwd"),
    ...waitForHooks(context),
    ...rootfs.enter,
    // The container's own /dev/pts is there, and /dev can still be written; all privileges are, too.
    ...terminal.inChild,
    ...compileProtectedPaths(context),
    ...mounts.close,
    ...rootfs.close,
    ...compileSurroundings(process),
    ...compileScheduling(context, process),
    ...compileCredentials(context, process),
    ...(process.noNewPrivileges === true ? [step({ op: "no-new-privileges" }, "/process/noNewPrivileges")] : []),
    ...seccomp.inChild,
    ...(input.supervision.kind === "create"
      ? [
          ...(config.process === undefined ? [] : [compileExecutableCheck(process)]),
          step({ op: "await-start", path: input.supervision.fifo }, byDefault("the container is created; `start` lets it run")),
        ]
      : []),
    ...compileHooks(context, "startContainer"),
    // Without one the child ends as soon as somebody starts it.
    ...(config.process === undefined ? [] : [compileExec(process, listenVariables(input.supervision.descriptors ?? {}))]),
  ];
}

/** `process`, or what a container has that is only created: nothing to run, no capabilities. */
function processOf({ process }: RuntimeConfig): ConfigProcess {
  return process ?? { cwd: "/" };
}

/** What is derived once from the input of a compilation. */
export function makeContext(
  {
    config,
    bundle,
    id,
    facts,
    rootless,
    cgroupManager = "cgroupfs",
  }: Pick<ContainerInput, "config" | "bundle" | "id" | "facts"> & Partial<Pick<ContainerInput, "cgroupManager" | "rootless">>,
  warn: (sentence: string) => void,
): Context {
  const { resources, ...rest } = config.linux ?? {};
  const linux = resources === undefined ? rest : { ...rest, resources: limitsOfVersion(resources, config.ociVersion) };
  return {
    config,
    linux,
    id,
    bundle: normalizePath(bundle),
    facts,
    isPrivileged: hasCapability(facts.capabilities.effective, "CAP_SYS_ADMIN"),
    isRootless: isRootlessBy(facts, rootless),
    hasUserNamespace: findNamespace(linux, "user") !== undefined,
    cgroupManager,
    warn,
  };
}
