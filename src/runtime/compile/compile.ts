/**
 * The runtime compiler: a config.json and facts about the host in, a program out. Pure.
 *
 * Each file beside this one compiles one part of the config into steps, by the moment at which they must run;
 * here the moments are put in order, which is the order of everything that a container's start does.
 */
import { childSection, type Program, type Step } from "#program/encode.ts";
import type { RuntimeConfig } from "#spec/runtime-config.ts";
import { requireValidConfig } from "#spec/validate/config.ts";
import type { HostFacts } from "../facts.ts";
import { compileCgroup } from "./cgroup/cgroup.ts";
import { byDefault, findNamespace, hasCapability, normalizePath, step, type Context } from "./context.ts";
import { compileCredentials } from "./credentials.ts";
import { compileDevices } from "./devices.ts";
import { compileMounts } from "./mounts.ts";
import { compileNamespaces } from "./namespaces.ts";
import { compileProtectedPaths, compileSysctl } from "./paths.ts";
import { compileExec, compileSurroundings } from "./process.ts";
import { compileRootfs } from "./rootfs.ts";
import { compileSupervision, type Supervision } from "./supervision.ts";
import { compileTerminal, withListenVariables, type TerminalPlan } from "./terminal.ts";
import { refuseUnsupported } from "./unsupported.ts";

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
  const warnings: string[] = [];
  const context = makeContext(input, (sentence) => warnings.push(sentence));
  const cgroup = compileCgroup(context);
  const namespaces = compileNamespaces(context, { section: childSection(0), cgroup: cgroup.cloneInto ?? "" });
  const moments = compileSupervision(supervision, config.process?.terminal === true);
  const terminal = config.process === undefined ? noTerminal : compileTerminal(context, config.process, { supervision });
  const score = config.process?.oomScoreAdj;
  const main = [
    ...moments.begin,
    ...cgroup.prepare,
    ...moments.stdio,
    ...terminal.beforeClone,
    ...namespaces.beforeClone,
    namespaces.clone,
    ...namespaces.mappings,
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
    ...namespaces.inChild,
    ...compileChild(context, input, { cgroups: cgroup.directories, terminal }),
  ];
  return { program: { main, cleanup: [...cgroup.cleanup, ...(input.extraCleanup ?? [])], children: [child] }, warnings };
}

const noTerminal: TerminalPlan = { beforeClone: [], inChild: [] };

/** What the child does once it is in all its namespaces. */
function compileChild(
  context: Context,
  input: ContainerInput,
  { cgroups, terminal }: { readonly cgroups: Parameters<typeof compileMounts>[1]; readonly terminal: TerminalPlan },
): Step[] {
  const { config } = context;
  const { process } = config;
  if (process === undefined) return [];
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
    // The container's own /dev/pts is there, and /dev can still be written; all privileges are, too.
    ...terminal.inChild,
    ...compileProtectedPaths(context),
    ...mounts.close,
    ...rootfs.close,
    ...compileSurroundings(process),
    ...compileCredentials(context, process),
    ...(process.noNewPrivileges === true ? [step({ op: "no-new-privileges" }, "/process/noNewPrivileges")] : []),
    ...(input.supervision.kind === "create"
      ? [step({ op: "await-start", path: input.supervision.fifo }, byDefault("the container is created; `start` lets it run"))]
      : []),
    compileExec(withListenVariables(process, input.supervision.descriptors ?? {})),
  ];
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
