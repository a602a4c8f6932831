/** The documents of an image as they are written: read with every field that they have, and stored. */
import { CodedError } from "#base/errors.ts";
import { encodeJson, parseJson, type JsonObject } from "#base/json.ts";
import type { Digest } from "#spec/digest.ts";
import { imageConfigLimits, parseImageConfig, requireLayerCount } from "#spec/image-config.ts";
import { manifestLimits, parseManifest, type Descriptor } from "#spec/image.ts";
import { mediaTypes } from "#spec/media-type.ts";
import { readBlob, type BlobReader, type BlobStore } from "./blob/store.ts";
import type { ImageDocuments } from "./mutate.ts";

/** Reads the image whose manifest is `descriptor`. @throws CodedError `not-found`, `corrupt`, `invalid-spec` */
export async function readImageDocuments(reader: BlobReader, descriptor: Descriptor): Promise<ImageDocuments> {
  const bytes = await readBlob(reader, descriptor, manifestLimits.maxBytes);
  const manifest = parseManifest(bytes, `manifest ${descriptor.digest}`);
  const configBytes = await readBlob(reader, manifest.config, imageConfigLimits.maxBytes);
  const config = parseImageConfig(configBytes, `config ${manifest.config.digest}`);
  requireLayerCount(manifest, config, `image ${descriptor.digest}`);
  return {
    manifest: parseJson(bytes, "manifest", manifestLimits) as JsonObject,
    config: parseJson(configBytes, "config", imageConfigLimits) as JsonObject,
    layers: manifest.layers.map((layer, index) => ({ descriptor: layer, diffId: config.rootfs.diff_ids[index] ?? "" })),
  };
}

/** What `storeImageDocuments` has stored. */
export interface StoredDocuments {
  /** The manifest. */
  readonly descriptor: Descriptor;
  /** The config's digest: the image's id. */
  readonly id: Digest;
}

/** Stores config and manifest; the layers are there already. @throws CodedError `not-found` when a layer is not */
export async function storeImageDocuments(blobs: BlobStore, image: ImageDocuments): Promise<StoredDocuments> {
  for (const { descriptor } of image.layers) {
    if ((await blobs.size(descriptor.digest)) !== descriptor.size)
      throw new CodedError("not-found", `cannot store the image: its layer ${descriptor.digest} is not there`);
  }
  const config = await blobs.put(encodeJson(image.config));
  const manifest = { ...image.manifest, config: { mediaType: mediaTypes.config, digest: config.digest, size: config.size } };
  const { digest, size } = await blobs.put(encodeJson(manifest));
  return { descriptor: { mediaType: mediaTypes.manifest, digest, size }, id: config.digest };
}
