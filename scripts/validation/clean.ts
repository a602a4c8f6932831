/** Removes what a test file left on the machine, and nothing that it did not make: other runs may be under way. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { idsInCalls, type TestedRuntime } from "./runtime.ts";

/** Cgroups that the suite names itself, the same in every run. */
const namedCgroups = ["cgrouptest", "testdir/cgrouptest/container", "testdir/cgrouptest", "testdir"];

/** Cleans up after one file whose bundles are below `directory`. Returns what had to be removed by force. */
export function cleanUp(runtime: TestedRuntime, directory: string): string[] {
  const ids = idsInCalls(runtime);
  const found: string[] = [];
  for (const id of ids.filter((id) => existsSync(join(runtime.root, id)))) {
    found.push(`container ${id}`);
    spawnSync(runtime.path, ["--root", runtime.root, "delete", "--force", id], { timeout: 20_000 });
  }
  for (const pid of processesBelow(directory)) {
    found.push(`process ${pid}`);
    endProcess(pid);
  }
  for (const point of mountsBelow(directory)) {
    found.push(`mount ${point}`);
    spawnSync("umount", ["-l", point]);
  }
  for (const path of cgroupsOf(ids)) {
    found.push(`cgroup ${path}`);
    removeCgroup(path);
  }
  rmSync(runtime.root, { recursive: true, force: true });
  rmSync(directory, { recursive: true, force: true });
  writeFileSync(runtime.calls, "");
  return found;
}

/** Processes whose root is a bundle below `directory`. */
function processesBelow(directory: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter(
      (pid) =>
        pid !== String(process.pid) &&
        [linkOf(`/proc/${pid}/root`), linkOf(`/proc/${pid}/cwd`)].some((path) => path.startsWith(`${directory}/`)),
    )
    .map(Number);
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

/** Mount points below `directory`, the innermost first. */
function mountsBelow(directory: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((point) => point.startsWith(`${directory}/`))
    .reverse();
}

function cgroupsOf(ids: readonly string[]): string[] {
  const hierarchies = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(" ")[4] ?? "");
  const names = ids.flatMap((id) => [id, `gantry-${id}`]);
  return hierarchies.flatMap((top) => [...namedCgroups, ...names].map((name) => join(top, name))).filter((path) => existsSync(path));
}

/** Removes a cgroup and those in it. One with processes of another run stays. */
function removeCgroup(path: string): void {
  try {
    for (const entry of readdirSync(path, { withFileTypes: true })) if (entry.isDirectory()) removeCgroup(join(path, entry.name));
    rmdirSync(path);
  } catch {
    // In use by others, or gone by now.
  }
}
