/** `create` and `run`. */
import { CodedError } from "#base/errors.ts";
import type { Program } from "#program/encode.ts";
import { readHostFacts } from "#runtime/facts.ts";
import { describeFailure } from "#runtime/describe-failure.ts";
import { compileBundle, type BundleOptions } from "#runtime/run.ts";
import { type OptionSpec, type ParsedArguments, valueOf } from "../command.ts";
import { stateRootOf, type FailedOp, type ProgramCommand, type RuntimeContext } from "./context.ts";

const bundleOptions: readonly OptionSpec[] = [
  { name: "bundle", short: "b", value: "DIR", help: "the bundle (default: the current directory)" },
  { name: "pid-file", value: "FILE", help: "write the container's pid to this file" },
  { name: "no-pivot", help: "do not use pivot_root (the root is a ramdisk)" },
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
  const { program, global, warn } = context;
  if (global.switches.has("systemd-cgroup"))
    throw new CodedError("unsupported", "cannot use systemd for cgroups: that is not supported yet");
  const bundle = program.resolveBundle(valueOf(parsed, "bundle") ?? ".");
  const pidFile = valueOf(parsed, "pid-file");
  return compileBundle({
    id: parsed.operands[0] ?? "",
    bundle,
    config: program.readConfig(bundle),
    facts: readHostFacts(),
    stateRoot: stateRootOf(context),
    mode,
    ...(pidFile === undefined ? {} : { pidFile: program.resolvePath(pidFile) }),
    noPivot: parsed.switches.has("no-pivot"),
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
