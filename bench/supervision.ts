/**
 * What stays in memory beside a running container: gantry's monitor against conmon, each with one sleeping process.
 *
 *     bun bench/supervision.ts [--json]
 *
 * PSS shares pages among those who map them, so it is the number that adds up over many containers.
 */
import { readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { buildImage } from "../test/support/images/build.ts";
import { installed, tool } from "../test/support/images/commands.ts";
import { scratchDirectory } from "../test/support/scratch-directory.ts";
import { printTable } from "./compare.ts";

interface Footprint {
  readonly name: string;
  readonly rssKib: number;
  readonly pssKib: number;
  readonly privateKib: number;
}

const ours = process.env["GANTRY"] ?? resolve(import.meta.dir, "../dist/gantry");
const layout = buildImage(process.env["GANTRY_TEST_IMAGES"] ?? "/dev/shm/gantry-images", "tiny");

/** Memory of process `pid`, from smaps_rollup (proc(5)). */
function footprint(name: string, pid: number): Footprint {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const field = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? "0");
  return { name, rssKib: field("Rss"), pssKib: field("Pss"), privateKib: field("Private_Clean") + field("Private_Dirty") };
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** All processes between us and the container's: what is there because it runs. */
async function measureGantry(scratch: string): Promise<Footprint[]> {
  const root = join(scratch, "gantry");
  tool([ours, "--root", root, "load", "--quiet", layout]);
  const seconds = String(3_000_000 + process.pid);
  const running = Bun.spawn([ours, "--root", root, "run", "--rm", "tiny", "sleep", seconds], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "inherit",
  });
  try {
    const container = await waitFor(() => containerProcess(running.pid, seconds));
    const between: Footprint[] = [];
    for (let pid = parentOf(container); pid > 1 && pid !== process.pid; pid = parentOf(pid))
      between.push(footprint(`gantry (${nameOf(pid)})`, pid));
    return between;
  } finally {
    running.kill("SIGKILL");
    await running.exited;
    for (const id of tool([ours, "--root", root, "ps", "--all", "--quiet"]).trim().split("\n"))
      if (id !== "") tool([ours, "--root", root, "rm", "--force", id]);
  }
}

/** The process below `ancestor` that sleeps for `seconds`: not one that only has this among its arguments. */
function containerProcess(ancestor: number, seconds: string): number | undefined {
  return processes().find((pid) => readIfThere(`/proc/${pid}/cmdline`) === `sleep\0${seconds}\0` && ancestors(pid).includes(ancestor));
}

function processes(): number[] {
  return readdirSync("/proc")
    .filter((one) => /^\d+$/.test(one))
    .map(Number);
}

function ancestors(pid: number): number[] {
  const found: number[] = [];
  for (let each = pid; each > 1; each = parentOf(each)) found.push(each);
  return found;
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readIfThere(`/proc/${pid}/status`))?.[1] ?? "0");
}

function nameOf(pid: number): string {
  return readIfThere(`/proc/${pid}/comm`).trim();
}

async function waitFor<Value>(find: () => Value | undefined): Promise<Value> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const found = find();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error("cannot measure: the container did not start in 10 s");
    await Bun.sleep(20);
  }
}

function measureConmon(scratch: string): Footprint {
  const podman = [
    "podman",
    "--root",
    join(scratch, "storage"),
    "--runroot",
    join(scratch, "run"),
    "--storage-driver",
    "vfs",
    "--cgroup-manager",
    "cgroupfs",
  ];
  tool([...podman, "pull", "--quiet", `oci:${layout}:tiny`]);
  const image = tool([...podman, "images", "--quiet"]).trim();
  const id = tool([
    ...podman,
    "run",
    "--detach",
    "--network",
    "none",
    "--ulimit",
    "nofile=256:256",
    "--ulimit",
    "nproc=256:256",
    image,
    "sleep",
    "3000000",
  ]).trim();
  try {
    const monitor = processes().find((pid) => nameOf(pid) === "conmon" && readIfThere(`/proc/${pid}/cmdline`).includes(id));
    if (monitor === undefined) throw new Error("cannot measure: there is no conmon");
    return footprint("podman (conmon)", monitor);
  } finally {
    tool([...podman, "rm", "--force", "--time", "0", id]);
  }
}

using scratch = scratchDirectory();
const measured = [...(await measureGantry(scratch.path)), ...(installed("podman", "conmon") ? [measureConmon(scratch.path)] : [])];
if (process.argv.includes("--json")) console.log(JSON.stringify(measured));
else
  printTable([
    ["beside the container", "RSS KiB", "PSS KiB", "private KiB"],
    ...measured.map((each) => [each.name, String(each.rssKib), String(each.pssKib), String(each.privateKib)]),
  ]);
