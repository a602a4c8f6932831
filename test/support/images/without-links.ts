/** `bigtree` for podman 4.3, which cannot apply a hard link whose target is in a lower layer: the last layer is made anew without them. */
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { bigtreeLayers } from "./bigtree.ts";
import { LayoutWriter, type WrittenDescriptor } from "./layout-writer.ts";
import { tar } from "./tar-writer.ts";

interface Document {
  readonly digest: string;
  readonly manifests: readonly Document[];
  readonly config: Document;
  readonly layers: readonly WrittenDescriptor[];
  readonly rootfs: { readonly diff_ids: readonly string[] };
}

/** Writes the image of the layout `source` to the new layout `target`, which it returns, under the same tag. */
export function imageWithoutLowerLinks(source: string, target: string): string {
  const read = (path: string): Document => JSON.parse(readFileSync(join(source, path), "utf8")) as Document;
  const blob = (digest: string): string => `blobs/${digest.replace(":", "/")}`;
  const manifest = read(blob(read("index.json").manifests[0]?.digest ?? ""));
  const { rootfs } = read(blob(manifest.config.digest));
  const writer = new LayoutWriter(target);
  const kept = manifest.layers.slice(0, -1).map((descriptor, index) => ({ descriptor, diffId: rootfs.diff_ids[index] ?? "" }));
  for (const { descriptor } of kept) cpSync(join(source, blob(descriptor.digest)), join(target, blob(descriptor.digest)));
  const entries = [...(bigtreeLayers().at(-1)?.() ?? [])].filter(({ type }) => type !== "hardlink");
  writer.tag(writer.image([...kept, writer.layer(tar(entries))]), "bigtree");
  return target;
}
