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

/** The process whose arguments hold every one of `words`, with its parent. */
function findProcess(...words: readonly string[]): { pid: number; parent: number } {
  for (const entry of readdirSync("/proc").filter((one) => /^\d+$/.test(one))) {
    const line = readIfThere(`/proc/${entry}/cmdline`).split("\0").join(" ");
    if (Number(entry) === process.pid || !words.every((word) => line.includes(word))) continue;
    const [, parent = "0"] = /^PPid:\s+(\d+)$/m.exec(readIfThere(`/proc/${entry}/status`)) ?? [];
    return { pid: Number(entry), parent: Number(parent) };
  }
  throw new Error(`cannot find the process of ${words.join(" ")}`);
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function measureGantry(scratch: string): Footprint {
  const root = join(scratch, "gantry");
  tool([ours, "--root", root, "load", "--quiet", layout]);
  const seconds = String(3_000_000 + process.pid);
  const id = tool([ours, "--root", root, "run", "--detach", "tiny", "sleep", seconds]).trim();
  try {
    return footprint("gantry", findProcess("sleep", seconds).parent);
  } finally {
    tool([ours, "--root", root, "rm", "--force", id]);
  }
}

function measureConmon(scratch: string): Footprint {
  const podman = ["podman", "--root", join(scratch, "storage"), "--runroot", join(scratch, "run"), "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"];
  tool([...podman, "pull", "--quiet", `oci:${layout}:tiny`]);
  const image = tool([...podman, "images", "--quiet"]).trim();
  const id = tool([...podman, "run", "--detach", "--network", "none", image, "sleep", "3000000"]).trim();
  try {
    return footprint("conmon", findProcess("conmon", id).pid);
  } finally {
    tool([...podman, "rm", "--force", "--time", "0", id]);
  }
}

using scratch = scratchDirectory();
const measured = [measureGantry(scratch.path), ...(installed("podman", "conmon") ? [measureConmon(scratch.path)] : [])];
if (process.argv.includes("--json")) console.log(JSON.stringify(measured));
else printTable([["monitor of", "RSS KiB", "PSS KiB", "private KiB"], ...measured.map((each) => [each.name, String(each.rssKib), String(each.pssKib), String(each.privateKib)])]);
