/** `ps`: the processes of a container, as pids of the host or as the lines of ps(1) about them. */
import { CodedError } from "#base/errors.ts";
import { filterProcessTable, listProcesses } from "#runtime/processes.ts";
import { readState } from "#runtime/state.ts";
import { valueOf } from "../command.ts";
import { type DirectCommand, stateRootOf } from "./context.ts";

/** The command. */
export const psCommand: DirectCommand = {
  name: "ps",
  summary: "List the processes of a container",
  operands: "ID [PS-OPTION...]",
  minOperands: 1,
  maxOperands: Number.POSITIVE_INFINITY,
  stopAtOperand: true,
  options: [{ name: "format", short: "f", value: "FORMAT", choices: ["table", "json"], help: "lines of ps(1), or an array of pids" }],
  completes: "containers",
  run: async (context, parsed) => {
    const { program } = context;
    const [id = "", ...words] = parsed.operands;
    const pids = listProcesses(readState(stateRootOf(context), id));
    if (valueOf(parsed, "format") === "json") {
      program.write(`${JSON.stringify(pids)}\n`);
      return 0;
    }
    const end = await program.runOther(["ps", ...(words.length === 0 ? ["-ef"] : words)], "captured");
    if (end.exitCode !== 0) throw new CodedError("invalid-argument", `cannot list processes: ps failed: ${end.output.trim()}`);
    const table = filterProcessTable(end.output, pids);
    if (table === undefined) throw new CodedError("invalid-argument", "cannot list processes: with these options ps prints no column PID");
    program.write(table);
    return 0;
  },
};
