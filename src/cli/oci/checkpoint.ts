/** `checkpoint`: a container as files, from which it can be restored. */
import { compileCheckpoint } from "#runtime/checkpoint.ts";
import { dumpLog } from "#runtime/compile/criu/dump.ts";
import { valueOf } from "../command.ts";
import { type ProgramCommand, stateRootOf } from "./context.ts";
import { criuCallOf, criuOptionsOf, describeCriuFailure, sharedCriuOptions } from "./criu-options.ts";

export const checkpointCommand: ProgramCommand = {
  name: "checkpoint",
  summary: "Write the processes of a container to files, by criu",
  operands: "ID",
  minOperands: 1,
  maxOperands: 1,
  options: [
    ...sharedCriuOptions,
    { name: "leave-running", help: "let the container go on, which is removed otherwise" },
    { name: "pre-dump", help: "write memory only and let the container go on" },
  ],
  completes: "containers",
  compile: (context, parsed) => {
    const parentPath = valueOf(parsed, "parent-path") ?? "";
    return compileCheckpoint({
      stateRoot: stateRootOf(context),
      id: parsed.operands[0] ?? "",
      call: criuCallOf(context, parsed),
      ...(parentPath === "" ? {} : { parentPath }),
      preDump: parsed.switches.has("pre-dump"),
      leaveRunning: parsed.switches.has("leave-running"),
      options: criuOptionsOf(parsed),
    });
  },
  describe: (context, parsed, failure) => {
    const { workPath } = criuCallOf(context, parsed);
    return describeCriuFailure({ verb: "checkpoint", id: parsed.operands[0] ?? "", workPath, log: dumpLog }, failure);
  },
};
