/**
 * Images as gantry unpacks them, compared with what umoci and containers/storage make of them, field by field; and the layer
 * cases with what the image specification says. Where a peer is wrong or the specification is open, the table in
 * test/support/images/differences.ts says so.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { buildImage } from "../support/images/build.ts";
import { caseLayers, layerCases } from "../support/images/cases/all.ts";
import type { LayerCase } from "../support/images/cases/case.ts";
import { checkCase } from "../support/images/cases/check.ts";
import { installed } from "../support/images/commands.ts";
import { isKnownDifference } from "../support/images/differences.ts";
import { LayoutWriter } from "../support/images/layout-writer.ts";
import { availablePeers, unpackWithPeer, type PeerName } from "../support/images/peers.ts";
import { scratchDirectory } from "../support/scratch-directory.ts";
import { compareTrees, formatDifference, readTree, type Tree } from "../support/tree.ts";
import { gantry, imageWork, missingForAcceptance, mountMerged } from "./gantry.ts";

const missing =
  missingForAcceptance() ?? (installed("umoci", "mmdebstrap", "getfattr") ? undefined : "umoci, mmdebstrap or getfattr is not installed");
if (missing !== undefined) console.log(`skipped: unpack acceptance: ${missing}`);
const minutes = 60_000;

/** The tree that gantry makes of the image in `layout`. */
function unpackWithGantry(layout: string): Tree {
  using scratch = scratchDirectory();
  const root = join(scratch.path, "root");
  const loaded = gantry(root, ["load", "--quiet", layout]);
  expect({ stderr: loaded.stderr, status: loaded.status }).toEqual({ stderr: "", status: 0 });
  using merged = mountMerged(root, layout, join(scratch.path, "merged"));
  return readTree(merged.directory);
}

/** The tree that gantry makes of an image that holds nothing but one case. */
function unpackCase(layerCase: LayerCase): Tree {
  using scratch = scratchDirectory();
  const writer = new LayoutWriter(scratch.path);
  writer.tag(writer.image(caseLayers([layerCase]).map((archive) => writer.layer(archive))), "case");
  return unpackWithGantry(scratch.path);
}

/** The differences between `ours` and the tree that `peer` makes, without those that the table explains. */
function differencesFrom(ours: Tree, name: string, peer: PeerName): string[] {
  using scratch = scratchDirectory();
  const startedNanos = BigInt(Date.now() - 1000) * 1_000_000n;
  using used = unpackWithPeer(peer, { layout: buildImage(imageWork(), name), tag: name }, join(scratch.path, "peer"));
  if (!used.tree.ok) return [`${peer} refuses ${name} in ${tmpdir()}: ${used.tree.error}`];
  return compareTrees(ours, readTree(used.tree.directory), (one) => isKnownDifference(one, peer, startedNanos)).map(formatDifference);
}

describe.skipIf(missing !== undefined)("unpacked images", () => {
  const trees = new Map<string, Tree>();
  const ours = (name: string): Tree => {
    const tree = trees.get(name) ?? unpackWithGantry(buildImage(imageWork(), name));
    trees.set(name, tree);
    return tree;
  };

  for (const [name, peers] of [
    ["debian", ["umoci", "vfs", "overlay"]],
    ["odd", ["umoci"]],
    ["odd-common", ["umoci", "vfs", "overlay"]],
  ] as const) {
    for (const peer of peers) {
      test.skipIf(!availablePeers().includes(peer))(
        `${name} is what ${peer} makes of it`,
        () => {
          expect(differencesFrom(ours(name), name, peer)).toEqual([]);
        },
        5 * minutes,
      );
    }
  }

  for (const layerCase of layerCases) {
    test(`${layerCase.name}: ${layerCase.why}`, () => expect(checkCase(layerCase, unpackCase(layerCase))).toEqual([]), minutes);
  }
});
