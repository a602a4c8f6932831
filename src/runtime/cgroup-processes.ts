/** The processes in a container's cgroups. */
import { listSubdirectories, readTextIfThere } from "#sys/small-files.ts";

/** The pids in the cgroup `directory` and those below it, as our pid namespace has them, ascending; none when it is gone. */
export function listCgroupProcesses(directory: string): number[] {
  return collect(directory).toSorted((a, b) => a - b);
}

function collect(directory: string): number[] {
  const own = (readIfPossible(`${directory}/cgroup.procs`) ?? "").split("\n").filter((line) => line !== "" && line !== "0");
  return [...own.map(Number), ...listSubdirectories(directory).flatMap((name) => collect(`${directory}/${name}`))];
}

/** KERNEL: cgroup.procs of a threaded cgroup cannot be read (EOPNOTSUPP); its processes are listed where the domain is. */
function readIfPossible(path: string): string | undefined {
  try {
    return readTextIfThere(path);
  } catch {
    // Going while we look, or threaded.
    return undefined;
  }
}
