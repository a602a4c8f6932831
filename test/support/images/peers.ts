/** Unpacks layouts with other people's tools, for comparison: umoci, and containers/storage (podman, buildah) with two drivers. */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/** The merged tree of one image as a peer made it, or the peer's refusal. */
export type PeerTree = { readonly ok: true; readonly directory: string } | { readonly ok: false; readonly error: string };

export const peerNames = ["umoci", "vfs", "overlay"] as const;
export type PeerName = (typeof peerNames)[number];

/** A tree that is given back (unmounted, removed) when the block that uses it ends. */
export interface UsedPeerTree extends Disposable {
  readonly tree: PeerTree;
}

/** Unpacks `tag` of `layout` with `peer` below the empty or missing directory `scratch`, which is removed afterwards. */
export function unpackWithPeer(peer: PeerName, image: { layout: string; tag: string }, scratch: string): UsedPeerTree {
  mkdirSync(scratch, { recursive: true });
  if (peer === "umoci") {
    const bundle = join(scratch, "bundle");
    const failure = run(["umoci", "unpack", "--image", `${image.layout}:${image.tag}`, bundle]);
    const tree: PeerTree = failure === undefined ? { ok: true, directory: join(bundle, "rootfs") } : { ok: false, error: failure };
    return { tree, [Symbol.dispose]: () => removeTree(scratch) };
  }
  return unpackWithStorage(peer, image, scratch);
}

/** Which peers are installed here. */
export function availablePeers(): PeerName[] {
  const has = (tool: string): boolean => spawnSync("sh", ["-c", `command -v ${tool}`]).status === 0;
  return peerNames.filter((peer) => (peer === "umoci" ? has("umoci") : has("skopeo") && has("podman")));
}

function unpackWithStorage(driver: "vfs" | "overlay", image: { layout: string; tag: string }, scratch: string): UsedPeerTree {
  const [root, runroot] = [join(scratch, "root"), join(scratch, "runroot")];
  const name = "localhost/compared:latest";
  const podman = ["podman", "--root", root, "--runroot", runroot, "--storage-driver", driver];
  const dispose = (): void => {
    run([...podman, "image", "umount", "--all", "--force"]);
    spawnSync("umount", ["-q", "-l", join(root, driver)]);
    removeTree(scratch);
  };
  const target = `containers-storage:[${driver}@${root}+${runroot}]${name}`;
  const failure = run(["skopeo", "--insecure-policy", "copy", "-q", `oci:${image.layout}:${image.tag}`, target]);
  if (failure !== undefined) return { tree: { ok: false, error: failure }, [Symbol.dispose]: dispose };
  const mounted = spawnSync(podman[0] ?? "", [...podman.slice(1), "image", "mount", name], { encoding: "utf8" });
  const tree: PeerTree =
    mounted.status === 0 ? { ok: true, directory: mounted.stdout.trim() } : { ok: false, error: lastLine(mounted.stderr) };
  return { tree, [Symbol.dispose]: dispose };
}

/** Runs a command; `undefined` when it succeeded, else its last line of error output. */
function run(command: readonly string[]): string | undefined {
  const result = spawnSync(command[0] ?? "", command.slice(1), {
    encoding: "utf8",
    env: { ...process.env, TMPDIR: process.env["TMPDIR"] ?? "/tmp" },
  });
  if (result.error !== undefined) return result.error.message;
  return result.status === 0 ? undefined : lastLine(result.stderr);
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}

function removeTree(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
}
