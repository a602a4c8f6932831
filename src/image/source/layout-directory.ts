/** An OCI image layout directory as a source: what skopeo, umoci, buildah and others write. */
import { join } from "node:path";
import type { Digest } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { readFileBounded } from "#sys/fs.ts";
import { DirectoryBlobStore } from "../blob/directory.ts";
import { blobPath } from "../blob/paths.ts";
import type { BlobContent, OpenRequest } from "../blob/store.ts";
import { parseIndexFile, requireLayout } from "../layout.ts";
import { readReferrers } from "../referrers.ts";
import { namedImages } from "./names.ts";
import type { ImageSource, SourceImage } from "./source.ts";

/** Opens the layout in `path`. @throws CodedError `not-found`, `invalid-spec` */
export async function openLayoutDirectory(path: string): Promise<ImageSource> {
  await requireLayout(path);
  const index = parseIndexFile(await readFileBounded(join(path, "index.json"), 64 << 20), path);
  return new LayoutDirectory(path, index.manifests);
}

class LayoutDirectory implements ImageSource {
  readonly description: string;
  readonly images: readonly SourceImage[];
  readonly #path: string;
  readonly #entries: readonly Descriptor[];
  readonly #blobs: DirectoryBlobStore;

  constructor(path: string, entries: readonly Descriptor[]) {
    this.description = `the image layout ${path}`;
    this.images = namedImages(entries);
    this.#entries = entries;
    this.#path = path;
    this.#blobs = new DirectoryBlobStore(path);
  }

  size(digest: Digest): Promise<number | undefined> {
    return this.#blobs.size(digest);
  }

  open(digest: Digest, request?: OpenRequest): AsyncIterable<Uint8Array> {
    return this.#blobs.open(digest, request);
  }

  readSmall(digest: Digest, maxBytes: number): Uint8Array | undefined {
    return this.#blobs.readSmall(digest, maxBytes);
  }

  content(digest: Digest): BlobContent {
    return { path: blobPath(this.#path, digest) };
  }

  referrers(digest: Digest): Promise<readonly Descriptor[]> {
    return readReferrers(this.#blobs, this.#entries, digest);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
