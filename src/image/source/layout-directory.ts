/** An OCI image layout directory as a source: what skopeo, umoci, buildah and others write. */
import { join } from "node:path";
import type { Digest } from "#spec/digest.ts";
import { readFileBounded } from "#sys/fs.ts";
import { blobPath, DirectoryBlobStore } from "../blob/directory.ts";
import type { BlobContent } from "../blob/store.ts";
import { parseIndexFile, requireLayout } from "../layout.ts";
import { namedImages } from "./names.ts";
import type { ImageSource, SourceImage } from "./source.ts";

/** Opens the layout in `path`. @throws CodedError `not-found`, `invalid-spec` */
export async function openLayoutDirectory(path: string): Promise<ImageSource> {
  await requireLayout(path);
  const index = parseIndexFile(await readFileBounded(join(path, "index.json"), 64 << 20), path);
  return new LayoutDirectory(path, namedImages(index.manifests));
}

class LayoutDirectory implements ImageSource {
  readonly description: string;
  readonly images: readonly SourceImage[];
  readonly #path: string;
  readonly #blobs: DirectoryBlobStore;

  constructor(path: string, images: readonly SourceImage[]) {
    this.description = `the image layout ${path}`;
    this.images = images;
    this.#path = path;
    this.#blobs = new DirectoryBlobStore(path);
  }

  size(digest: Digest): Promise<number | undefined> {
    return this.#blobs.size(digest);
  }

  open(digest: Digest): AsyncIterable<Uint8Array> {
    return this.#blobs.open(digest);
  }

  content(digest: Digest): BlobContent {
    return { path: blobPath(this.#path, digest) };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
