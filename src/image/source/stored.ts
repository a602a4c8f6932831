/** One image of the store as a source for copies. */
import type { Digest } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { blobPath } from "../blob/paths.ts";
import type { BlobContent, OpenRequest } from "../blob/store.ts";
import type { StoredEntry } from "../images.ts";
import type { ImageLayout, Lease } from "../layout.ts";
import { readReferrers } from "../referrers.ts";
import type { ImageSource, SourceImage } from "./source.ts";

/** Opens images of the store. A lease keeps their blobs until the source is disposed, even if somebody removes them. */
export async function openStoredImages(layout: ImageLayout, images: readonly StoredEntry[]): Promise<ImageSource> {
  const lease = await layout.lease();
  const { manifests } = await layout.readIndex();
  return new StoredImages(layout, { images, entries: manifests, lease });
}

class StoredImages implements ImageSource {
  readonly description = "the store";
  readonly images: readonly SourceImage[];
  readonly #layout: ImageLayout;
  readonly #entries: readonly Descriptor[];
  readonly #lease: Lease;

  constructor(
    layout: ImageLayout,
    { images, entries, lease }: { images: readonly StoredEntry[]; entries: readonly Descriptor[]; lease: Lease },
  ) {
    this.images = images.map(({ names, descriptor }) => ({ names, tag: undefined, descriptor }));
    this.#layout = layout;
    this.#entries = entries;
    this.#lease = lease;
  }

  size(digest: Digest): Promise<number | undefined> {
    return this.#layout.blobs.size(digest);
  }

  open(digest: Digest, request?: OpenRequest): AsyncIterable<Uint8Array> {
    return this.#layout.blobs.open(digest, request);
  }

  readSmall(digest: Digest, maxBytes: number): Uint8Array | undefined {
    return this.#layout.blobs.readSmall?.(digest, maxBytes);
  }

  content(digest: Digest): BlobContent {
    return { path: blobPath(this.#layout.path, digest) };
  }

  referrers(digest: Digest): Promise<readonly Descriptor[]> {
    return readReferrers(this.#layout.blobs, this.#entries, digest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lease.release();
  }
}
