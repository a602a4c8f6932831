/**
 * How long it takes from an OCI layout to a tree: `gantry load` against `umoci unpack`, with the image bigtree.
 *
 *     bun bench/unpack.ts [--rounds=5] [--json] [--work=DIRECTORY] [IMAGE]
 *
 * The directory (default: in memory) should be a tmpfs or a file system of its own with a journal: others remember deleted files, and what is
 * measured is that. Trees are removed between the runs, outside of the time.
 */
import { existsSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { buildImage } from "../test/support/images/build.ts";
import { compare, numberOption, report, type Contender } from "./compare.ts";

const words = process.argv.slice(2);
const work =
  words.find((word) => word.startsWith("--work="))?.slice("--work=".length) ??
  process.env["GANTRY_TEST_IMAGES"] ??
  "/dev/shm/gantry-images";
const name = words.find((word) => !word.startsWith("--")) ?? "bigtree";
const layout = buildImage(work, name);
const target = join(work, "bench-unpack");
const ours = process.env["GANTRY"] ?? resolve(import.meta.dir, "../dist/gantry");

const clear = (): void => rmSync(target, { recursive: true, force: true });
const contender = (label: string, command: readonly string[]): Contender => ({ name: label, command, prepare: clear, cleanUp: clear });
const contenders = [
  ...(existsSync(ours) ? [contender("gantry load", [ours, "--root", target, "load", "--quiet", layout])] : []),
  contender("umoci unpack", ["umoci", "unpack", "--image", `${layout}:${name}`, target]),
  contender("umoci raw unpack", ["umoci", "raw", "unpack", "--image", `${layout}:${name}`, target]),
];
report(compare(`unpack ${name} in ${work}`, contenders, { rounds: numberOption("rounds", 5), warmups: 1 }));
