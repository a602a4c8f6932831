/** `pause` and `resume`. */
import { compileFreezing, describeFreezingFailure, type FreezeVerb } from "#runtime/freeze.ts";
import { readState } from "#runtime/state.ts";
import { type ProgramCommand, stateRootOf } from "./context.ts";

export const pauseCommand = freezeCommand("pause", "Hold all processes of a container");
export const resumeCommand = freezeCommand("resume", "Let the processes of a paused container go on");

function freezeCommand(verb: FreezeVerb, summary: string): ProgramCommand {
  return {
    name: verb,
    summary,
    operands: "ID",
    minOperands: 1,
    maxOperands: 1,
    options: [],
    completes: "containers",
    compile: (context, { operands }) => compileFreezing(readState(stateRootOf(context), operands[0] ?? ""), verb),
    describe: (_, { operands }, failed) => describeFreezingFailure(operands[0] ?? "", { verb, ...failed }),
  };
}
