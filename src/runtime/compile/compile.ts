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
import { compileCgroup } from "./cgroup/cgroup.ts";
import { byDefault, findNamespace, hasCapability, normalizePath, step, unsupported, type Context } from "./context.ts";
import { compileCredentials } from "./credentials.ts";
import { compileDevices } from "./devices.ts";
import { compileInterfaces } from "./interfaces.ts";
import { compileKeyring, compileLabels } from "./labels.ts";
import { compileMounts } from "./mounts.ts";
import { compileNamespaces } from "./namespaces.ts";
import { compileProtectedPaths, compileSysctl } from "./paths.ts";
import { compileExec, compileSurroundings } from "./process.ts";
import { compileResctrl } from "./resctrl.ts";
import { compileRootfs } from "./rootfs.ts";
import { compileScheduling } from "./scheduling.ts";
import { compileSupervision, type Supervision } from "./supervision.ts";
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
  /** Run after the container's own cleanup, at its end or after a failure; origins are the caller's words. */
  readonly extraCleanup?: readonly Step[];
  /** Where pivot_root cannot work (the root is the initramfs). */
  readonly noPivot?: boolean;
  /** Leaves the container in the session keyring of its caller. */
  readonly noNewKeyring?: boolean;
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
  requireValidConfig(config);
  refuseUnsupported(config);
  // It may be missing until `start`, which must fail then; everything else starts at once.
  if (config.process === undefined && supervision.kind !== "create")
    throw unsupported("/process", "it is missing, and there is nothing to start");
  const warnings: string[] = [];
  const context = makeContext(input, (sentence) => warnings.push(sentence));
  warnOfOtherPlatforms(config, context.warn);
  const cgroup = compileCgroup(context);
  const namespaces = compileNamespaces(context, { section: childSection(0), cgroup: cgroup.cloneInto ?? "" });
  const moments = compileSupervision(supervision);
  const resctrl = compileResctrl(context);
  const interfaces = compileInterfaces(context);
  const score = config.process?.oomScoreAdj;
  const main = [
    ...moments.begin,
    ...cgroup.prepare,
    ...resctrl.prepare,
    ...moments.stdio,
    ...interfaces.beforeJoin,
    ...namespaces.beforeClone,
    namespaces.clone,
    ...namespaces.mappings,
    ...resctrl.assign,
    ...interfaces.afterClone,
    // By the parent: the container's root may not lower it, and its /proc may not be there.
    ...(score === undefined ? [] : [step({ op: "child-file", file: "oom_score_adj", data: String(score) }, "/process/oomScoreAdj")]),
    ...moments.recordChild,
    step({ op: "release-child" }, byDefault("the child's cgroups and id maps are there")),
    ...moments.end,
  ];
  const child = [
    step({ op: "await-parent" }, byDefault("the parent prepares the child's cgroups and id maps")),
    // First of all, while the paths are the host's: what the child does from here on counts.
    ...cgroup.inChild,
    ...compileLabels(context, processOf(config)),
    ...namespaces.inChild,
    ...(input.noNewKeyring === true ? [] : compileKeyring(context)),
    ...compileChild(context, input, cgroup.directories),
  ];
  return {
    program: { main, cleanup: [...cgroup.cleanup, ...resctrl.cleanup, ...(input.extraCleanup ?? [])], children: [child] },
    warnings,
  };
}

/** What the child does once it is in all its namespaces. */
function compileChild(context: Context, input: ContainerInput, cgroups: Parameters<typeof compileMounts>[1]): Step[] {
  const { config } = context;
  const process = processOf(config);
  const rootfs = compileRootfs(context, input.rootfs ?? [], input.noPivot !== true);
  const mounts = compileMounts(context, cgroups);
  return [
    step({ op: "new-session" }, byDefault("the container has no terminal of its caller's")),
    ...((config.hostname ?? "") === "" ? [] : [step({ op: "hostname", name: config.hostname ?? "" }, "/hostname")]),
    ...((config.domainname ?? "") === "" ? [] : [step({ op: "domainname", name: config.domainname ?? "" }, "/domainname")]),
    ...compileSysctl(context),
    ...(input.supervision.kind === "create"
      ? [step({ op: "open-start", path: input.supervision.fifo }, byDefault("the fifo that `start` opens"))]
      : []),
    ...rootfs.open,
    ...mounts.make,
    ...compileDevices(context),
    step({ op: "ensure-directory", path: normalizePath(process.cwd), mode: 0o755 }, "/process/cwd"),
    ...rootfs.enter,
    ...compileProtectedPaths(context),
    ...mounts.close,
    ...rootfs.close,
    ...compileSurroundings(process),
    ...compileScheduling(context, process),
    ...compileCredentials(context, process),
    ...(process.noNewPrivileges === true ? [step({ op: "no-new-privileges" }, "/process/noNewPrivileges")] : []),
    ...(input.supervision.kind === "create"
      ? [step({ op: "await-start", path: input.supervision.fifo }, byDefault("the container is created; `start` lets it run"))]
      : []),
    // Without one the child ends as soon as somebody starts it.
    ...(config.process === undefined ? [] : [compileExec(process)]),
  ];
}

/** `process`, or what a container has that is only created: nothing to run, no capabilities. */
function processOf({ process }: RuntimeConfig): ConfigProcess {
  return process ?? { cwd: "/" };
}

function makeContext({ config, bundle, id, facts }: ContainerInput, warn: (sentence: string) => void): Context {
  const linux = config.linux ?? {};
  return {
    config,
    linux,
    id,
    bundle: normalizePath(bundle),
    facts,
    isPrivileged: hasCapability(facts.capabilities.effective, "CAP_SYS_ADMIN"),
    hasUserNamespace: findNamespace(linux, "user") !== undefined,
    warn,
  };
}
