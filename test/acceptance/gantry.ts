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
  const result = Bun.spawnSync([gantryPath, "--root", root, ...args], { stdin: "ignore", timeout: deadlineMs, killSignal: "SIGKILL", maxBuffer: 1 << 26 });
  return {
    status: result.exitedDueToTimeout === true ? null : result.exitCode,
    stdout: result.stdout.toString("latin1"),
    stderr: result.stderr.toString("latin1"),
    maxMemoryBytes: result.resourceUsage.maxRSS,
  };
}

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

/** Chain ids (hex) of the first image in `layout`, lowest first. */
function chainIds(layout: string): string[] {
  const blob = (digest: string): { config?: { digest: string }; rootfs?: { diff_ids: string[] } } =>
    JSON.parse(readFileSync(join(layout, "blobs", digest.replace(":", "/")), "utf8"));
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
