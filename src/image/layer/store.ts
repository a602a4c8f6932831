/** Storing a new layer: diff id and digest are found in one pass, while the archive is made. */
import { ContentHasher, type Digest } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { mediaTypes, type LayerCompression } from "#spec/media-type.ts";
import type { BlobStore } from "../blob/store.ts";
import { compressLayer } from "./compress.ts";

/** Media types of layers as they are made here. */
export const layerTypes: Readonly<Record<LayerCompression, string>> = {
  none: mediaTypes.layer,
  gzip: mediaTypes.layerGzip,
  zstd: mediaTypes.layerZstd,
};

/** A layer that is in the store now. */
export interface StoredLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  /** Bytes of the archive. */
  readonly archiveBytes: number;
}

/** Compresses `archive` and stores it. */
export async function storeLayer(
  blobs: BlobStore,
  archive: AsyncIterable<Uint8Array>,
  compression: LayerCompression,
): Promise<StoredLayer> {
  const hasher = new ContentHasher();
  const { digest, size } = await blobs.put(compressLayer(hashed(archive, hasher), compression));
  const whole = hasher.finish();
  return { descriptor: { mediaType: layerTypes[compression], digest, size }, diffId: whole.digest, archiveBytes: whole.size };
}

async function* hashed(archive: AsyncIterable<Uint8Array>, hasher: ContentHasher): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of archive) {
    hasher.update(chunk);
    yield chunk;
  }
}
