/** `create` and `run`. */
import type { Program } from "#program/encode.ts";
import { recordFacts } from "#runtime/cache/recorder.ts";
import type { CallWords } from "#runtime/cache/request.ts";
import { idTaken, requireFreeId } from "#runtime/lifecycle.ts";
import { compileBundle, type BundleOptions } from "#runtime/run.ts";
import { type OptionSpec, type ParsedArguments, valueOf } from "../command.ts";
import { stateRootOf, type FailedOp, type ProgramCommand, type RuntimeContext } from "./context.ts";
import { passedDescriptors } from "./descriptors.ts";
import { removalOf } from "./removal.ts";

const bundleOptions: readonly OptionSpec[] = [
  { name: "bundle", short: "b", value: "DIR", help: "the bundle (default: the current directory)" },
  { name: "config", short: "f", value: "FILE", help: "read this file instead of the bundle's config.json" },
  { name: "console-socket", value: "PATH", help: "unix socket that gets the terminal of a container that is left running" },
  { name: "pidfd-socket", value: "PATH", help: "unix socket that gets a pidfd of the container" },
  { name: "pid-file", value: "FILE", help: "write the container's pid to this file" },
  { name: "no-pivot", help: "do not use pivot_root (the root is a ramdisk)" },
  { name: "no-new-keyring", help: "leave the container in the caller's session keyring" },
  { name: "preserve-fds", value: "COUNT", help: "pass on this many descriptors, from 3 on, after those of LISTEN_FDS" },
];

const shape = { operands: "ID", minOperands: 1, maxOperands: 1 };

export const createCommand: ProgramCommand = {
  name: "create",
  summary: "Create a container, whose process waits for start",
  ...shape,
  options: bundleOptions,
  check,
  cleanup: removalOf,
  compile: (context, parsed) => compile(context, parsed, "create"),
  describe,
};

export const runCommand: ProgramCommand = {
  name: "run",
  summary: "Create and start a container, and stay until it ends",
  ...shape,
  options: [
    ...bundleOptions,
    { name: "detach", short: "d", help: "leave the container as soon as its program runs" },
    { name: "keep", help: "keep the container's state when it ends" },
    { name: "no-subreaper", help: "accepted for runc's callers" },
  ],
  check,
  cleanup: removalOf,
  compile: (context, parsed) => compile(context, parsed, parsed.switches.has("detach") ? "run-detached" : "run"),
  describe,
};

/** What an existing container of the id has, such as its cgroup, would be complained of otherwise. */
function check(context: RuntimeContext, parsed: ParsedArguments): void {
  requireFreeId(stateRootOf(context), parsed.operands[0] ?? "", "create");
}

function compile(context: RuntimeContext, parsed: ParsedArguments, mode: BundleOptions["mode"]): Program {
  const { program, settings } = context;
  const bundle = program.resolveBundle(valueOf(parsed, "bundle") ?? ".");
  const pidFile = valueOf(parsed, "pid-file");
  const consoleSocket = valueOf(parsed, "console-socket");
  const pidfdSocket = valueOf(parsed, "pidfd-socket") ?? "";
  const configFile = valueOf(parsed, "config") ?? "";
  const { config, text: configText } = program.readConfig(bundle, configFile === "" ? undefined : program.resolvePath(configFile));
  const recorded = recordFacts();
  let hasWarned = false;
  const options: BundleOptions = {
    id: parsed.operands[0] ?? "",
    bundle,
    config,
    facts: recorded.facts,
    stateRoot: stateRootOf(context),
    mode,
    ...(pidFile === undefined ? {} : { pidFile: program.resolvePath(pidFile) }),
    ...(consoleSocket === undefined ? {} : { consoleSocket: program.resolvePath(consoleSocket) }),
    ...(pidfdSocket === "" ? {} : { pidfdSocket: program.resolvePath(pidfdSocket) }),
    descriptors: passedDescriptors(program, parsed),
    noPivot: parsed.switches.has("no-pivot"),
    noNewKeyring: parsed.switches.has("no-new-keyring"),
    cgroupManager: settings.cgroupManager,
    rootless: settings.rootless,
    keep: parsed.switches.has("keep"),
    warn: (sentence) => {
      hasWarned = true;
      context.warn(sentence);
    },
  };
  const compiled = compileBundle(options);
  const cache = program.findCache();
  const words = callWords(context, parsed, options);
  // What was warned of would not be told again.
  const isSilent = !hasWarned || (words?.isTold === false && !context.global.switches.has("debug"));
  if (cache !== undefined && words !== undefined && isSilent) {
    context.whenDelivered(async (bytes) => {
      const { keepProgram } = await import("#runtime/cache/store.ts");
      keepProgram(cache.directory, { words, configText, options, recorded, program: bytes, compiler: cache.compiler });
    });
  }
  return compiled;
}

/** The words as the executor's front sees them; undefined when there is one that it does not understand (executor/call.c). */
function callWords({ global }: RuntimeContext, parsed: ParsedArguments, options: BundleOptions): CallWords | undefined {
  const isKnown = (name: string): boolean => understoodOptions.includes(name);
  if (![...global.values.keys(), ...parsed.values.keys()].every(isKnown)) return undefined;
  const letters = [...global.switches, ...parsed.switches].map((name) => switchLetters[name]);
  letters.push(rootlessLetters[options.rootless ?? "auto"]);
  if (letters.includes(undefined)) return undefined;
  return {
    verb: options.mode === "create" ? "create" : "run",
    switches: letters.join(""),
    isTold: global.values.has("log") || global.values.has("log-level"),
    root: options.stateRoot,
    preservedFds: valueOf(parsed, "preserve-fds") ?? "",
    pidFile: options.pidFile ?? "",
    consoleSocket: options.consoleSocket ?? "",
    bundle: options.bundle,
  };
}

const understoodOptions = ["root", "log", "log-format", "log-level", "rootless", "bundle", "pid-file", "console-socket", "preserve-fds"];
const rootlessLetters = { auto: "", true: "t", false: "f" } as const;
const switchLetters: Readonly<Record<string, string>> = {
  debug: "l",
  "systemd-cgroup": "s",
  detach: "d",
  keep: "k",
  "no-pivot": "p",
  "no-new-keyring": "n",
  "no-subreaper": "",
};

async function describe(
  _: RuntimeContext,
  parsed: ParsedArguments,
  { program, ...failure }: FailedOp & { program: Program },
): Promise<Error> {
  const op = program.main[failure.opIndex]?.op;
  if (op?.op === "claim" && failure.errno === 17) return idTaken(parsed.operands[0] ?? "", "create");
  const { describeFailure } = await import("#runtime/describe-failure.ts");
  return describeFailure(program, failure);
}
