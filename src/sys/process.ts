/** Facts about processes, from /proc. A pid alone names nothing for long: it is always kept with its start time. */
import { readFileSync } from "node:fs";
import { isErrno } from "#base/errors.ts";

/** A process for ever: pids are reused, a pid with its start time is not (until the next boot). */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks after boot, proc_pid_stat(5) field 22. */
  readonly startTicks: number;
}

/** Reads the identity out of the text of a /proc/PID/stat; undefined when it is not one. */
export function parseProcessStat(stat: string): (ProcessIdentity & { readonly state: string }) | undefined {
  // The command (field 2) may hold spaces and parentheses: fields are counted from the last one.
  const pid = Number.parseInt(stat, 10);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const startTicks = Number(fields[19]);
  if (!Number.isSafeInteger(pid) || !Number.isSafeInteger(startTicks) || fields.length < 20) return undefined;
  return { pid, startTicks, state: fields[0] ?? "?" };
}

/** The identity and state of the process `pid` now; undefined when there is none. */
export function findProcess(pid: number): (ProcessIdentity & { readonly state: string }) | undefined {
  try {
    return parseProcessStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ESRCH")) return undefined;
    throw error;
  }
}

/** True while that very process runs; a zombie has ended. */
export function isRunning(process: ProcessIdentity): boolean {
  const now = findProcess(process.pid);
  return now !== undefined && now.startTicks === process.startTicks && now.state !== "Z" && now.state !== "X";
}
