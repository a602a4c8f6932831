/** A real package is installed in a container of Debian: what commit makes of it, unpacked, is what the container had. */
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { applyLayer } from "#image/layer/apply.ts";
import { openProgramStream } from "#program/spawn-node.ts";
import { parseDigest } from "#spec/digest.ts";
import { readFileChunks } from "#sys/file-chunks.ts";
import { executorPath } from "../root/executor-harness.ts";
import { buildImage } from "../support/images/build.ts";
import { installed, tool } from "../support/images/commands.ts";
import { scratchDirectory } from "../support/scratch-directory.ts";
import { compareTrees, formatDifference, readTree } from "../support/tree.ts";
import { gantry, imageWork, missingForAcceptance } from "./gantry.ts";

const name = "hello";
const missing =
  missingForAcceptance() ??
  (installed("apt-get", "mmdebstrap", "umoci", "getfattr") ? undefined : "apt-get, mmdebstrap, umoci or getfattr is not installed");
if (missing !== undefined) console.log(`skipped: commit of Debian: ${missing}`);

test.skipIf(missing !== undefined)(
  "W1 W2 R4: the image of a container in which a package was installed has the container's tree, and its layer is found again",
  async () => {
    using scratch = scratchDirectory();
    const root = join(scratch.path, "root");
    const packages = join(scratch.path, "packages");
    mkdirSync(packages);
    if (Bun.spawnSync(["timeout", "60", "apt-get", "download", "-qq", name], { cwd: packages }).exitCode !== 0) {
      return console.log(`skipped: commit of Debian: apt-get cannot download ${name}`);
    }
    const good = (...words: string[]): string => {
      const run = gantry(root, words);
      expect({ words, stderr: run.stderr, status: run.status }).toEqual({ words, stderr: "", status: 0 });
      return run.stdout;
    };
    good("load", "--quiet", "--tag", "debian", buildImage(imageWork(), "debian"));
    const script = `apt-get install -y /packages/*.deb && hello && rm -rf /var/cache && mkdir /var/cache && mv /etc/passwd- /etc/passwd--`;
    expect(gantry(root, ["run", "--name", "installs", "-v", `${packages}:/packages:ro`, "debian", "sh", "-c", script]).status).toBe(0);
    good("commit", "installs", "debian:hello");
    good("unpack", "--quiet", "debian:hello", join(scratch.path, "bundle"));
    const [id = ""] = readdirSync(join(root, "containers"));
    const [layer = ""] = (JSON.parse(good("inspect", "--type", "image", "debian")) as [{ layers: [{ chainId: string }] }])[0].layers.map(
      ({ chainId }) => chainId.slice(7),
    );
    const merged = join(scratch.path, "merged");
    mkdirSync(merged);
    tool([
      "mount",
      "-t",
      "overlay",
      "-o",
      `ro,lowerdir=${join(root, "containers", id, "upper")}:${join(root, "layers", layer, "fs")}`,
      "overlay",
      merged,
    ]);
    try {
      const wanted = readTree(merged);
      const made = readTree(join(scratch.path, "bundle/rootfs"));
      // Places of mounts are no part of the image; nor is the time of the root.
      const isPlace = ({ path, field }: { path: string; field: string }): boolean =>
        path === "." || /^(?:packages|etc\/(?:hosts|hostname|resolv\.conf))$/.test(path) || (path === "etc" && field === "mtimeNanos");
      expect(compareTrees(wanted, made, isPlace).map(formatDifference)).toEqual([]);
    } finally {
      tool(["umount", merged]);
    }
    await expectSameLayer(scratch.path, good);
    good("rm", "installs");
    good("verify");
  },
  300_000,
);

/** The other law: what the committed layer, applied to what lies below it, is found to have changed is that layer again, byte for byte. */
async function expectSameLayer(directory: string, good: (...words: string[]) => string): Promise<void> {
  const [layout, bundle] = ["layout", "below"].map((name) => join(directory, name)) as [string, string];
  good("copy", "-q", "debian:hello", `oci:${layout}:x`);
  const layerOf = (image: string): { digest: string; size: number; mediaType: string } => {
    const { layers } = JSON.parse(good("manifest", "inspect", image)) as { layers: { digest: string; size: number; mediaType: string }[] };
    return layers.at(-1) ?? { digest: "", size: 0, mediaType: "" };
  };
  const layer = layerOf("debian:hello");
  const config = JSON.parse(good("manifest", "inspect", "--config", "debian:hello")) as { rootfs: { diff_ids: string[] } };
  good("unpack", "--quiet", "debian", bundle);
  await applyLayer({
    source: readFileChunks(join(layout, "blobs", layer.digest.replace(":", "/"))),
    descriptor: { ...layer, digest: parseDigest(layer.digest) },
    diffId: config.rootfs.diff_ids.at(-1) ?? "",
    stream: openProgramStream(executorPath()),
    base: false,
    setup: [
      { op: "root", path: join(bundle, "rootfs") },
      { op: "enter-root", path: join(bundle, "rootfs") },
    ],
    teardown: [{ op: "leave-root" }],
    limits: { maxBytes: 1 << 30, maxEntries: 1e6 },
  });
  good("repack", bundle, "debian:again");
  expect(layerOf("debian:again")).toEqual(layer);
}
