import { expect, test } from "bun:test";
import { digestOf } from "#spec/digest.ts";
import { directory, file, opaque, whiteout } from "../../../test/support/images/cases/case.ts";
import { tar, type TarEntry } from "../../../test/support/images/tar-writer.ts";
import type { LayerContent } from "./content.ts";
import { readLayerContents, type LayerContents } from "./report.ts";

function layerOf(entries: readonly TarEntry[]): LayerContent {
  const bytes = tar(entries.map((entry) => ({ mtime: 0, ...entry })));
  const descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar", digest: digestOf(bytes), size: bytes.length };
  return {
    descriptor,
    open: async function* () {
      yield await Promise.resolve(bytes);
    },
  };
}

const read = (layers: readonly (readonly TarEntry[])[], limits = {}): Promise<LayerContents[]> =>
  readLayerContents(layers.map(layerOf), { maxBytes: 2 ** 40, maxEntries: 1_000_000, ...limits });
const linesOf = (contents: LayerContents | undefined): string[] =>
  (contents?.files ?? []).map(({ change, path, sizeBytes }) => `${change} ${path} ${sizeBytes}`);

test("what is hidden by whiteouts is deleted once, and what this layer brings stays", async () => {
  const [lower, upper] = await read([
    [directory("d", { mode: 0o755 }), file("d/old", "12345"), file("e/f", "1")],
    [opaque("d"), file("d/new", "12"), opaque("d"), whiteout("e"), file("e/g", "1"), whiteout("e")],
  ]);
  expect(lower?.wastedBytes).toBe(6);
  expect(linesOf(upper)).toEqual(["added d/new 2", "deleted d/old 5", "deleted e 1", "added e/g 1"]);
});

test("a whiteout that is repeated costs no more than one", async () => {
  const files = Array.from({ length: 4000 }, (_, index) => file(`d/${index}`, ""));
  const repeated = (entry: TarEntry): TarEntry[] => Array.from({ length: 4000 }, () => entry);
  const start = performance.now();
  await read([[file("d/old", "1")], [...files, ...repeated(opaque("d")), ...repeated(whiteout("d"))]]);
  expect(performance.now() - start).toBeLessThan(1500);
});

test("directories that only names imply count as entries, and layers have a largest size", async () => {
  await expect(read([[file("a/b/c/d", "")]], { maxEntries: 3 })).rejects.toThrow("the layer has more than 3 entries");
  await expect(read([[file("a/b/c/d", ""), file("e", "")]], { maxEntries: 4 })).rejects.toThrow(
    'cannot read entry "e": the layer has more than 4 entries',
  );
  await expect(read([[file("a", "")]], { maxBytes: 1000 })).rejects.toThrow("unpacked it has more than 1000 bytes");
});
