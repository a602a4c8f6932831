/** `pause` and `resume`. */
import { changeFreezer } from "#runtime/freeze.ts";
import { readState } from "#runtime/state.ts";
import { type DirectCommand, stateRootOf } from "./context.ts";

const shape = { operands: "ID", minOperands: 1, maxOperands: 1, options: [], completes: "containers" } as const;

export const pauseCommand: DirectCommand = {
  name: "pause",
  summary: "Hold all processes of a container",
  ...shape,
  run: async (context, { operands }) => {
    await changeFreezer(readState(stateRootOf(context), operands[0] ?? ""), "pause", context.program.pause);
    return 0;
  },
};

export const resumeCommand: DirectCommand = {
  name: "resume",
  summary: "Let the processes of a paused container go on",
  ...shape,
  run: async (context, { operands }) => {
    await changeFreezer(readState(stateRootOf(context), operands[0] ?? ""), "resume", context.program.pause);
    return 0;
  },
};
