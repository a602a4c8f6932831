/** `events`: statistics of a container, once or again and again. */
import { CodedError } from "#base/errors.ts";
import { parseDurationNanos } from "#base/units.ts";
import { formatStats, readStats } from "#runtime/cgroup-stats.ts";
import { readHostFacts } from "#runtime/facts.ts";
import { readState } from "#runtime/state.ts";
import { valueOf } from "../command.ts";
import { type DirectCommand, stateRootOf } from "./context.ts";

const nanosPerMs = 1_000_000;

export const eventsCommand: DirectCommand = {
  name: "events",
  summary: "Print statistics of a container as JSON, one line each time",
  operands: "ID",
  minOperands: 1,
  maxOperands: 1,
  options: [
    { name: "stats", help: "print them once and end" },
    { name: "interval", value: "DURATION", help: "how often they are printed (default: 5s)" },
  ],
  completes: "containers",
  run: async (context, parsed) => {
    const { program } = context;
    const [id = ""] = parsed.operands;
    const intervalMs = parseDurationNanos(valueOf(parsed, "interval") ?? "5s", "option --interval") / nanosPerMs;
    if (intervalMs <= 0) throw new CodedError("invalid-argument", "option --interval must be more than 0");
    const facts = readHostFacts();
    for (;;) {
      const { state, stored } = readState(stateRootOf(context), id);
      if (state.status === "stopped")
        throw new CodedError("wrong-state", `cannot watch container ${JSON.stringify(id)}: container not running`);
      const line = formatStats({ type: "stats", id, data: readStats(stored.cgroups, facts) });
      if (!program.write(`${line}\n`) || parsed.switches.has("stats") || !(await program.pause(intervalMs))) return 0;
    }
  },
};
