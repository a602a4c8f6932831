/**
 * How long it takes from an OCI layout to a tree: `gantry unpack` and `gantry load` against `umoci unpack`, and against the limit, which is
 * the fastest decompressor and tar for the same layers without looking at anything (no digests, no whiteouts).
 *
 *     bun bench/unpack.ts [--rounds=5] [--json] [--work=DIRECTORY] [IMAGE]
 *
 * The directory (default: in memory) should be a tmpfs or a file system of its own with a journal: others remember deleted files, and what is
 * measured is that. Trees are removed between the runs, outside of the time.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
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

const clear = (): void => [target, `${target}-root`].forEach((path) => rmSync(path, { recursive: true, force: true }));
const contender = (label: string, command: readonly string[]): Contender => ({ name: label, command, prepare: clear, cleanUp: clear });
const plain = (): readonly string[] => {
  const read = (digest: string): string => join(layout, "blobs", digest.replace(":", "/"));
  type Document = { manifests: { digest: string }[]; layers: { digest: string }[] };
  const parse = (path: string): Document => JSON.parse(readFileSync(path, "utf8")) as Document;
  const { layers } = parse(read(parse(join(layout, "index.json")).manifests[0]?.digest ?? ""));
  const each = layers.map(({ digest }) => `igzip -dc <${read(digest)} | tar -x --recursive-unlink -C ${target}`);
  return ["sh", "-c", ["set -e", `mkdir -p ${target}`, ...each].join("\n")];
};
const contenders = [
  ...(existsSync(ours)
    ? [
        contender("gantry unpack", [ours, "--root", `${target}-root`, "unpack", "--quiet", `oci:${layout}:${name}`, target]),
        contender("gantry load", [ours, "--root", target, "load", "--quiet", layout]),
      ]
    : []),
  ...(Bun.which("igzip") === null ? [] : [contender("igzip | tar", plain())]),
  contender("umoci unpack", ["umoci", "unpack", "--image", `${layout}:${name}`, target]),
  contender("umoci raw unpack", ["umoci", "raw", "unpack", "--image", `${layout}:${name}`, target]),
];
report(compare(`unpack ${name} in ${work}`, contenders, { rounds: numberOption("rounds", 5), warmups: 1 }));
