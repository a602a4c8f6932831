/** `list`: all containers of a root. */
import { CodedError } from "#base/errors.ts";
import { type ContainerState, isStateRoot, listStates } from "#runtime/state.ts";
import { valueOf } from "../command.ts";
import { formatTable } from "../output.ts";
import { type DirectCommand, stateRootOf } from "./context.ts";

/** The command. */
export const listCommand: DirectCommand = {
  name: "list",
  summary: "List the containers",
  operands: "",
  minOperands: 0,
  maxOperands: 0,
  options: [
    { name: "format", short: "f", value: "FORMAT", choices: ["table", "json"], help: "how they are listed" },
    { name: "quiet", short: "q", help: "print ids only" },
  ],
  run: (context, parsed) => {
    const root = stateRootOf(context);
    // The default root appears with the first container; another that is missing is a mistake.
    if (context.settings.isRootGiven && !isStateRoot(root))
      throw new CodedError("not-found", `cannot list containers: there is no directory ${root}`);
    const states = listStates(root, context.warn).map(({ state }) => state);
    context.program.write(format(states, parsed.switches.has("quiet") ? "ids" : (valueOf(parsed, "format") ?? "table")));
    return Promise.resolve(0);
  },
};

function format(states: readonly ContainerState[], how: string): string {
  if (how === "ids") return states.map(({ id }) => `${id}\n`).join("");
  // As runc: null stands for none, and go-runc takes both.
  if (how === "json") return `${states.length === 0 ? "null" : JSON.stringify(states)}\n`;
  const rows = states.map(({ id, pid, status, bundle, created, owner }) => [id, String(pid), status, bundle, created, owner]);
  return formatTable(["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], rows);
}
