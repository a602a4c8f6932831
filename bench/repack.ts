/**
 * From 1,500 changes in an image of 48,000 files to a new image: `gantry repack` against `umoci repack`, `gantry commit` against `podman commit`
 * and `buildah commit`.
 *
 *     bun bench/repack.ts [--rounds=5] [--json] [--work=DIRECTORY] [--only=repack,commit]
 *
 * The image is unpacked and changed once for each program, by one script (changes.ts); then each makes an image of the changes again and again. The
 * directory (default: in memory) should be a tmpfs or a file system of its own with a journal.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { buildImage } from "../test/support/images/build.ts";
import { tool } from "../test/support/images/commands.ts";
import { imageWithoutLowerLinks } from "../test/support/images/without-links.ts";
import { changesScript } from "./changes.ts";
import { compare, numberOption, report, type Contender } from "./compare.ts";

const words = process.argv.slice(2);
const optionOf = (name: string): string | undefined => words.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3);
const work = optionOf("work") ?? process.env["GANTRY_TEST_IMAGES"] ?? "/dev/shm/gantry-images";
const only = (optionOf("only") ?? "repack,commit").split(",");
const ours = process.env["GANTRY"] ?? resolve(import.meta.dir, "../dist/gantry");
const rounds = numberOption("rounds", 5);

mkdirSync(work, { recursive: true });
// podman takes a layout's path for a name, which has no capitals.
const scratch = join(work, `bench-repack-${process.pid}`);
mkdirSync(scratch);
const at = (name: string): string => join(scratch, name);
const gantry = (...rest: readonly string[]): string[] => [ours, "--root", at("root"), ...rest];
// podman wants a short path there.
const podmanRun = mkdtempSync("/tmp/br-");
const storage = ["--root", at("podman"), "--runroot", podmanRun, "--storage-driver", "overlay"];
const podman = (...rest: readonly string[]): string[] => ["podman", ...storage, ...rest];
const buildah = (...rest: readonly string[]): string[] => ["buildah", ...storage, ...rest];

function measure(title: string, contenders: readonly Contender[]): void {
  report(compare(title, contenders, { rounds, memory: true }));
}

function change(tree: string): void {
  tool(["sh", "-c", `cd "$0"\n${changesScript}`, tree]);
}

function repack(): void {
  const layout = buildImage(work, "bigtree");
  for (const name of ["ours", "theirs"]) tool(["cp", "-a", layout, at(name)]);
  tool(gantry("unpack", "-q", `oci:${at("ours")}:bigtree`, at("bundle")));
  tool(["umoci", "unpack", "--image", `${at("theirs")}:bigtree`, at("umoci")]);
  for (const name of ["bundle", "umoci"]) change(at(`${name}/rootfs`));
  measure("repack of 1,500 changes in bigtree", [
    { name: "gantry repack", command: gantry("repack", at("bundle"), `oci:${at("ours")}:new`) },
    { name: "gantry repack, zstd", command: gantry("repack", "--compression=zstd", at("bundle"), `oci:${at("ours")}:zstd`) },
    { name: "umoci repack", command: ["umoci", "repack", "--image", `${at("theirs")}:new`, at("umoci")] },
  ]);
  measure("repack of no change in bigtree", [
    { name: "gantry repack", command: gantry("repack", unchanged(), `oci:${at("ours")}:same`) },
    { name: "umoci repack", command: ["umoci", "repack", "--image", `${at("theirs")}:same`, at("umoci-same")] },
  ]);
}

function unchanged(): string {
  for (const name of ["bundle", "umoci"]) rmSync(at(name), { recursive: true, force: true });
  tool(gantry("unpack", "-q", `oci:${at("ours")}:bigtree`, at("bundle")));
  tool(["umoci", "unpack", "--image", `${at("theirs")}:bigtree`, at("umoci-same")]);
  return at("bundle");
}

function commit(): void {
  const layout = imageWithoutLowerLinks(buildImage(work, "bigtree"), at("image"));
  const script = ["sh", "-c", `cd /\n${changesScript}`];
  tool(gantry("copy", "-q", `oci:${layout}:bigtree`, "bigtree"));
  tool(gantry("run", "--name", "changed", "bigtree", ...script));
  tool(podman("pull", "-q", `oci:${layout}:bigtree`));
  const image = tool(podman("images", "-q")).trim();
  const container = tool(podman("create", image, "true")).trim();
  change(tool(podman("mount", container)).trim());
  tool(podman("umount", container));
  const working = tool(buildah("from", image)).trim();
  change(tool(buildah("mount", working)).trim());
  tool(buildah("umount", working));
  const forget = (command: readonly string[]) => (): void => void spawnSync(command[0] ?? "", command.slice(1));
  measure("commit of a container with 1,500 changes", [
    { name: "gantry commit", command: gantry("commit", "changed", "new") },
    { name: "podman commit", command: podman("commit", "-q", container, "new"), cleanUp: forget(podman("rmi", "-f", "new")) },
    { name: "buildah commit", command: buildah("commit", "-q", working, "newer"), cleanUp: forget(podman("rmi", "-f", "newer")) },
  ]);
  // A registry gets a layer compressed; podman's store keeps it as a tree, and packs it when it is pushed.
  const target = `oci:${at("pushed")}:1`;
  const clear = (): void => rmSync(at("pushed"), { recursive: true, force: true });
  const both = (first: readonly string[], second: readonly string[]): string[] => ["sh", "-c", `${first.join(" ")} && ${second.join(" ")}`];
  measure("commit and copy to a layout", [
    { name: "gantry", command: both(gantry("commit", "changed", "new"), gantry("copy", "-q", "new", target)), cleanUp: clear },
    { name: "podman", command: both(podman("commit", "-q", container, "new"), podman("push", "-q", "new", target)), cleanUp: clear },
  ]);
}

try {
  if (only.includes("repack")) repack();
  if (only.includes("commit")) commit();
} finally {
  spawnSync("podman", [...storage, "umount", "-a"]);
  spawnSync("umount", [at("podman/overlay")]);
  for (const directory of [scratch, podmanRun]) rmSync(directory, { recursive: true, force: true });
}
