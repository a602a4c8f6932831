/** Drives the built `gantry` as a user would: arguments in, exit code and text out, all state below one --root. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";

/** What one run of the program left; `status` is null when it did not end in time and was killed. */
export interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Peak memory of the largest process; 0 where GNU time, which measures it, is not installed. */
  readonly maxMemoryBytes: number;
}

/** The program under test: GANTRY names another one. */
export const gantryPath = process.env["GANTRY"] ?? resolve(import.meta.dir, "../../dist/gantry");

/** Why the tests of this folder cannot run here; `undefined` when they can. */
export function missingForAcceptance(): string | undefined {
  if (!existsSync(gantryPath)) return `${gantryPath} is not built`;
  if (process.getuid?.() !== 0) return "not root: layers have owners and devices";
  return undefined;
}

/** Runs `gantry --root ROOT ARGS…`; killed after `deadlineMs` (default two minutes). */
export function gantry(root: string, args: readonly string[], deadlineMs = 120_000): Run {
  // Measured by a small process in between: to the kernel, the peak of a process that was cloned from us includes our own.
  const limit = ["timeout", "-s", "KILL", String(deadlineMs / 1000)];
  const measure = hasTime ? ["/usr/bin/time", "-f", `${memoryMark}%M`] : [];
  const result = Bun.spawnSync([...measure, ...limit, gantryPath, "--root", root, ...args], { stdin: "ignore", maxBuffer: 1 << 26 });
  const stderr = result.stderr.toString("latin1");
  const [, text = stderr, kibibytes = "0"] = memoryPattern.exec(stderr) ?? [];
  return {
    status: result.exitCode === 137 ? null : result.exitCode,
    stdout: result.stdout.toString("latin1"),
    stderr: text,
    maxMemoryBytes: Number(kibibytes) * 1024,
  };
}

const hasTime = existsSync("/usr/bin/time");
const memoryMark = "peak memory in KiB: ";
/** GNU time's own lines at the end of standard error: how the command failed, and the mark. */
const memoryPattern =
  /^([^]*?)(?:Command exited with non-zero status \d+\n|Command terminated by signal \d+\n)?peak memory in KiB: (\d+)\n$/;

/** A merged tree, unmounted when the block that uses it ends. */
export interface MergedTree extends Disposable {
  readonly directory: string;
}

/** The tree of the image in `layout` as the layers below `root` give it: each is joined read-only with those below it. */
export function mountMerged(root: string, layout: string, mountPoint: string): MergedTree {
  const trees = chainIds(layout).map((chain) => join(root, "layers", chain, "fs"));
  const missing = trees.find((tree) => !existsSync(tree));
  if (missing !== undefined) throw new Error(`cannot mount the image: ${missing} is not there`);
  const [only = ""] = trees;
  if (trees.length === 1) return { directory: only, [Symbol.dispose]: () => undefined };
  mkdirSync(mountPoint, { recursive: true });
  const options = `ro,lowerdir=${trees.reverse().join(":")}`;
  const mounted = spawnSync("mount", ["-t", "overlay", "overlay", "-o", options, mountPoint], { encoding: "utf8" });
  if (mounted.status !== 0) throw new Error(`cannot mount the image: ${mounted.stderr}`);
  return { directory: mountPoint, [Symbol.dispose]: () => void spawnSync("umount", [mountPoint]) };
}

/** What is read of a manifest or of a config. */
interface ImageDocument {
  readonly config?: { readonly digest: string };
  readonly rootfs?: { readonly diff_ids: string[] };
}

/** Chain ids (hex) of the first image in `layout`, lowest first. */
function chainIds(layout: string): string[] {
  const blob = (digest: string): ImageDocument =>
    JSON.parse(readFileSync(join(layout, "blobs", digest.replace(":", "/")), "utf8")) as ImageDocument;
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as { manifests: { digest: string }[] };
  const config = blob(blob(index.manifests[0]?.digest ?? "").config?.digest ?? "");
  let chain = "";
  return (config.rootfs?.diff_ids ?? []).map((diffId) => {
    // SPEC: image-spec config.md#layer-chainid
    chain = chain === "" ? diffId : `sha256:${createHash("sha256").update(`${chain} ${diffId}`).digest("hex")}`;
    return chain.slice("sha256:".length);
  });
}

/** Where test images lie: GANTRY_TEST_IMAGES, or a place in memory where there is one. */
export function imageWork(): string {
  return process.env["GANTRY_TEST_IMAGES"] ?? (existsSync("/dev/shm") ? "/dev/shm/gantry-images" : "/var/tmp/gantry-images");
}

/** Names of what lies in `directory`; none when it is not there. */
export function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).sort() : [];
}
