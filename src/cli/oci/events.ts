/** `events`: statistics of a container, once or again and again. */
import { CodedError } from "#base/errors.ts";
import { parseDurationNanos } from "#base/units.ts";
import { formatStats, readOutOfMemoryKills, readStats } from "#runtime/cgroup-stats.ts";
import { readHostFacts } from "#runtime/facts.ts";
import { readState } from "#runtime/state.ts";
import { valueOf } from "../command.ts";
import { type DirectCommand, type RuntimeContext, stateRootOf } from "./context.ts";

const nanosPerMs = 1_000_000;
/** How often it is looked whether a process was killed, and whether the container is still there. */
const lookEveryMs = 100;

export const eventsCommand: DirectCommand = {
  name: "events",
  summary: "Print statistics of a container, and when it ran out of memory, as lines of JSON",
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
    const watch = watchContainer(context, id);
    if (!watch.isRunning()) throw new CodedError("wrong-state", `cannot watch container ${JSON.stringify(id)}: container not running`);
    if (parsed.switches.has("stats")) {
      program.write(watch.stats());
      return 0;
    }
    for (let next = program.now(); ;) {
      const isRunning = watch.isRunning();
      const due = isRunning && program.now() >= next ? watch.stats() : "";
      if (due !== "") next += intervalMs;
      // Of a container that ends for want of memory, too.
      const lines = watch.kills() + due;
      if (lines !== "" && !program.write(lines)) return 0;
      const restMs = Math.max(1, Math.min(next - program.now(), lookEveryMs));
      if (!isRunning || !(await program.pause(restMs))) return 0;
    }
  },
};

/** What is told of a container, each as lines of JSON. */
function watchContainer(context: RuntimeContext, id: string): { isRunning: () => boolean; stats: () => string; kills: () => string } {
  const facts = readHostFacts();
  const read = (): ReturnType<typeof readState> => readState(stateRootOf(context), id);
  const { cgroups } = read().stored;
  const line = (event: object): string => `${formatStats({ ...event, id })}\n`;
  let told = readOutOfMemoryKills(cgroups, facts);
  let wasThere = false;
  return {
    isRunning: () => {
      try {
        const isRunning = read().state.status !== "stopped";
        wasThere = true;
        return isRunning;
      } catch (error) {
        // It has been deleted meanwhile.
        if (wasThere && error instanceof CodedError && error.code === "not-found") return false;
        throw error;
      }
    },
    stats: () => line({ type: "stats", data: readStats(cgroups, facts) }),
    kills: () => {
      const count = readOutOfMemoryKills(cgroups, facts);
      const isMore = count > told;
      told = count;
      return isMore ? line({ type: "oom" }) : "";
    },
  };
}
