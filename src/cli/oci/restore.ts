/** `restore`: a container from the files that `checkpoint` wrote. */
import { restoreLog } from "#runtime/compile/criu/restore.ts";
import { readHostFacts } from "#runtime/facts.ts";
import { compileRestoredBundle } from "#runtime/restore.ts";
import { type ParsedArguments, valueOf } from "../command.ts";
import { type ProgramCommand, type RuntimeContext, stateRootOf } from "./context.ts";
import { criuCallOf, criuOptionsOf, describeCriuFailure, sharedCriuOptions } from "./criu-options.ts";
import { removalOf } from "./removal.ts";

export const restoreCommand: ProgramCommand = {
  name: "restore",
  summary: "Make a container from the files of a checkpoint, by criu",
  operands: "ID",
  minOperands: 1,
  maxOperands: 1,
  options: [
    { name: "bundle", short: "b", value: "DIR", help: "the bundle (default: the current directory)" },
    ...sharedCriuOptions,
    { name: "console-socket", value: "SOCKET", help: "unix socket that gets the terminal of a container that is left running" },
    { name: "detach", short: "d", help: "leave the container as soon as it runs" },
    { name: "pid-file", value: "FILE", help: "write the container's pid to this file" },
    { name: "no-subreaper", help: "accepted for runc's callers" },
    { name: "no-pivot", help: "accepted for runc's callers: criu knows by itself how a root is entered" },
    { name: "keep", help: "keep the container's state when it ends" },
    { name: "lsm-profile", value: "TYPE:NAME", help: "security profile to restore with" },
    { name: "lsm-mount-context", value: "CONTEXT", help: "security context of mounts to restore with" },
  ],
  compile,
  cleanup: removalOf,
  describe: (context, parsed, failure) => {
    const id = parsed.operands[0] ?? "";
    return describeCriuFailure({ verb: "restore", id, workPath: criuCallOf(context, parsed).workPath, log: restoreLog }, failure);
  },
};

function compile(context: RuntimeContext, parsed: ParsedArguments): ReturnType<ProgramCommand["compile"]> {
  const { program, settings, warn } = context;
  const bundle = program.resolveBundle(valueOf(parsed, "bundle") || ".");
  const [pidFile, consoleSocket] = [valueOf(parsed, "pid-file") ?? "", valueOf(parsed, "console-socket") ?? ""];
  const [lsmProfile, lsmMountContext] = [valueOf(parsed, "lsm-profile") ?? "", valueOf(parsed, "lsm-mount-context") ?? ""];
  return compileRestoredBundle({
    id: parsed.operands[0] ?? "",
    bundle,
    config: program.readConfig(bundle).config,
    facts: readHostFacts(),
    stateRoot: stateRootOf(context),
    mode: parsed.switches.has("detach") ? "run-detached" : "run",
    ...(pidFile === "" ? {} : { pidFile: program.resolvePath(pidFile) }),
    ...(consoleSocket === "" ? {} : { consoleSocket: program.resolvePath(consoleSocket) }),
    noPivot: parsed.switches.has("no-pivot"),
    noNewKeyring: false,
    cgroupManager: settings.cgroupManager,
    keep: parsed.switches.has("keep"),
    call: criuCallOf(context, parsed),
    criu: {
      ...criuOptionsOf(parsed),
      ...(lsmProfile === "" ? {} : { lsmProfile }),
      ...(lsmMountContext === "" ? {} : { lsmMountContext }),
    },
    warn,
  });
}
