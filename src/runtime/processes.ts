/** The processes of a container. */
import { dirname } from "node:path";
import { listSubdirectories, readTextIfThere } from "#sys/small-files.ts";
import type { FoundState } from "./state.ts";

/** Their pids in our pid namespace, ascending; of a container without cgroups only the first is known. */
export function listProcesses({ state, stored }: FoundState): number[] {
  // Every hierarchy has the same processes, unless one of them was moved within the container's part of it.
  const directory = stored.freezer === undefined ? stored.cgroups[0] : dirname(stored.freezer);
  if (directory === undefined) return state.pid === 0 ? [] : [state.pid];
  return collect(directory).toSorted((a, b) => a - b);
}

function collect(directory: string): number[] {
  const own = readIfPossible(`${directory}/cgroup.procs`).split("\n").map(Number);
  return [...own.filter((pid) => pid > 0), ...listSubdirectories(directory).flatMap((name) => collect(`${directory}/${name}`))];
}

/** KERNEL: cgroup.procs of a threaded cgroup cannot be read (EOPNOTSUPP); its processes are listed where the domain is. */
function readIfPossible(path: string): string {
  try {
    return readTextIfThere(path) ?? "";
  } catch {
    // Threaded, or going while we look.
    return "";
  }
}

/** The lines of what `ps` printed that are about one of `pids`, under its header; undefined when there is no column PID. */
export function filterProcessTable(table: string, pids: readonly number[]): string | undefined {
  const [header = "", ...lines] = table.split("\n");
  const column = header.trim().split(/\s+/).indexOf("PID");
  if (column < 0) return undefined;
  const kept = lines.filter((line) => pids.includes(Number(line.trim().split(/\s+/)[column] ?? "")));
  return `${[header, ...kept].join("\n")}\n`;
}
