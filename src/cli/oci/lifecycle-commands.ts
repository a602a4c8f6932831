/** `start`, `state`, `kill` and `delete`. The executor runs them by itself where it can (executor/front.c); this is the long way. */
import type { Program } from "#program/encode.ts";
import { compileRequest, requireContainer, type LifecycleRequest } from "#runtime/lifecycle.ts";
import type { OptionSpec, ParsedArguments } from "../command.ts";
import { stateRootOf, type ProgramCommand } from "./context.ts";
import { removalOf } from "./removal.ts";
import { parseSignal } from "./signals.ts";

const noOptions: readonly OptionSpec[] = [];

export const startCommand: ProgramCommand = {
  name: "start",
  summary: "Let the process of a created container run its program",
  operands: "ID",
  minOperands: 1,
  maxOperands: 1,
  options: noOptions,
  ...made(() => ({ verb: "start" })),
};

export const stateCommand: ProgramCommand = {
  name: "state",
  summary: "Print the state of a container as JSON",
  operands: "ID",
  minOperands: 1,
  maxOperands: 1,
  options: noOptions,
  ...made(() => ({ verb: "state" })),
};

export const killCommand: ProgramCommand = {
  name: "kill",
  summary: "Send a signal (default: TERM) to a container's first process",
  operands: "ID [SIGNAL]",
  minOperands: 1,
  maxOperands: 2,
  options: [{ name: "all", short: "a", help: "send it to all processes of the container" }],
  ...made(({ operands, switches }) => ({ verb: "kill", signal: parseSignal(operands[1] ?? "TERM"), all: switches.has("all") })),
};

export const deleteCommand: ProgramCommand = {
  name: "delete",
  summary: "Remove a container that has ended",
  operands: "ID",
  minOperands: 1,
  maxOperands: 1,
  options: [{ name: "force", short: "f", help: "kill it first if it lives; succeed if there is none" }],
  ...made(({ switches }) => ({ verb: "delete", force: switches.has("force") })),
  cleanup: removalOf,
};

/** What all four have in common. */
function made(request: (parsed: ParsedArguments) => LifecycleRequest): Required<Pick<ProgramCommand, "compile" | "describe">> {
  return {
    compile: (context, parsed) => compileRequest(stateRootOf(context), parsed.operands[0] ?? "", request(parsed)),
    describe: async (context, parsed, { program, opIndex, errno }: { program: Program; opIndex: number; errno: number }) => {
      const { describeRequestFailure } = await import("#runtime/describe-request-failure.ts");
      return describeRequestFailure(requireContainer(stateRootOf(context), parsed.operands[0] ?? ""), {
        program,
        request: request(parsed),
        failure: { opIndex, errno },
      });
    },
  };
}
