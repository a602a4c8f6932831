/** `create` and `run`. */
import { CodedError } from "#base/errors.ts";
import type { Program } from "#program/encode.ts";
import { readHostFacts } from "#runtime/facts.ts";
import { describeFailure } from "#runtime/describe-failure.ts";
import { compileBundle, type BundleOptions } from "#runtime/run.ts";
import { type OptionSpec, type ParsedArguments, valueOf } from "../command.ts";
import { stateRootOf, type FailedOp, type ProgramCommand, type RuntimeContext } from "./context.ts";
import { passedDescriptors } from "./descriptors.ts";

const bundleOptions: readonly OptionSpec[] = [
  { name: "bundle", short: "b", value: "DIR", help: "the bundle (default: the current directory)" },
  { name: "console-socket", value: "PATH", help: "unix socket that gets the terminal of a container that is left running" },
  { name: "pidfd-socket", value: "PATH", help: "accepted for runc's callers" },
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
  compile: (context, parsed) => compile(context, parsed, parsed.switches.has("detach") ? "run-detached" : "run"),
  describe,
};

function compile(context: RuntimeContext, parsed: ParsedArguments, mode: BundleOptions["mode"]): Program {
  const { program, settings, warn } = context;
  const bundle = program.resolveBundle(valueOf(parsed, "bundle") ?? ".");
  const pidFile = valueOf(parsed, "pid-file");
  const consoleSocket = valueOf(parsed, "console-socket");
  return compileBundle({
    id: parsed.operands[0] ?? "",
    bundle,
    config: program.readConfig(bundle),
    facts: readHostFacts(),
    stateRoot: stateRootOf(context),
    mode,
    ...(pidFile === undefined ? {} : { pidFile: program.resolvePath(pidFile) }),
    ...(consoleSocket === undefined ? {} : { consoleSocket: program.resolvePath(consoleSocket) }),
    descriptors: passedDescriptors(program, parsed),
    noPivot: parsed.switches.has("no-pivot"),
    noNewKeyring: parsed.switches.has("no-new-keyring"),
    cgroupManager: settings.cgroupManager,
    rootless: settings.rootless,
    keep: parsed.switches.has("keep"),
    warn,
  });
}

function describe(_: RuntimeContext, parsed: ParsedArguments, { program, ...failure }: FailedOp & { program: Program }): Error {
  const op = program.main[failure.opIndex]?.op;
  if (op?.op === "claim" && failure.errno === 17) {
    return new CodedError(
      "already-exists",
      `cannot create container ${JSON.stringify(parsed.operands[0])}: a container with that id exists`,
    );
  }
  return describeFailure(program, failure);
}
