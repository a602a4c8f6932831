/** `run`: a container in the foreground. */
import { CodedError } from "#base/errors.ts";
import { encodeProgram } from "#program/encode.ts";
import { type BundleOptions, compileBundle, prepareBundle } from "#runtime/run.ts";
import { type ParsedArguments, valueOf } from "../command.ts";
import { type DirectCommand, type ProgramCommand, type RuntimeContext, stateRootOf } from "./context.ts";

/** The command. */
export const runCommand: DirectCommand & ProgramCommand = {
  name: "run",
  summary: "Create and run a container in the foreground",
  operands: "ID",
  minOperands: 1,
  maxOperands: 1,
  options: [
    { name: "bundle", short: "b", value: "DIR", help: "the bundle (default: the current directory)" },
    { name: "pid-file", value: "FILE", help: "write the container's pid to this file" },
    { name: "no-pivot", help: "do not use pivot_root (the root is a ramdisk)" },
  ],
  run: (context, parsed) => {
    context.program.deliver(encodeProgram(prepareBundle(bundleOptions(context, parsed))));
    return Promise.resolve(0);
  },
  compile: (context, parsed) => compileBundle(bundleOptions(context, parsed)),
};

function bundleOptions(context: RuntimeContext, parsed: ParsedArguments): BundleOptions {
  const { program, settings, warn } = context;
  if (settings.cgroupManager !== "cgroupfs")
    throw new CodedError("unsupported", `cannot make cgroups by ${settings.cgroupManager}: that is not supported yet`);
  const bundle = program.resolveBundle(valueOf(parsed, "bundle") ?? ".");
  const pidFile = valueOf(parsed, "pid-file");
  return {
    id: parsed.operands[0] ?? "",
    bundle,
    config: program.readConfig(bundle),
    stateRoot: stateRootOf(context),
    ...(pidFile === undefined ? {} : { pidFile }),
    noPivot: parsed.switches.has("no-pivot"),
    warn,
  };
}
