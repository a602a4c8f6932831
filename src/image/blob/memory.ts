/** A blob store in memory: for tests, and for images that are made and passed on without touching a disk. */
import {
  ContentHasher,
  hasherFor,
  requireContent,
  verifyContent,
  type ContentIdentity,
  type Digest,
  type ExpectedContent,
} from "#spec/digest.ts";
import { readFileChunks } from "#sys/file-chunks.ts";
import { contentChunks, missingBlob, type BlobContent, type BlobProgress, type BlobStore, type OpenRequest } from "./store.ts";

/** Keeps every blob as one buffer. */
export class MemoryBlobStore implements BlobStore {
  readonly #blobs = new Map<Digest, Uint8Array>();

  async size(digest: Digest): Promise<number | undefined> {
    return this.#blobs.get(digest)?.length;
  }

  async *open(digest: Digest, { offset = 0 }: OpenRequest = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const blob = this.#blobs.get(digest);
    if (blob === undefined) throw missingBlob(digest);
    if (offset > 0) yield blob.subarray(offset);
    else yield* verifyContent(contentChunks(blob), { digest });
  }

  async put(content: BlobContent, expected?: ExpectedContent, progress?: BlobProgress): Promise<ContentIdentity> {
    const present = expected === undefined ? undefined : this.#blobs.get(expected.digest);
    if (expected !== undefined && present !== undefined) {
      requireContent({ digest: expected.digest, size: present.length }, expected);
      return { digest: expected.digest, size: present.length };
    }
    const hasher = expected === undefined ? new ContentHasher() : hasherFor(expected.digest);
    const chunks: Uint8Array[] = [];
    for await (const chunk of "path" in content ? readFileChunks(content.path) : contentChunks(content)) {
      hasher.update(chunk);
      // Whoever gives chunks may use their memory again.
      chunks.push(new Uint8Array(chunk));
      progress?.(hasher.size);
    }
    const identity = hasher.finish();
    if (expected !== undefined) requireContent(identity, expected);
    this.#blobs.set(identity.digest, Buffer.concat(chunks));
    return identity;
  }

  async list(): Promise<readonly Digest[]> {
    return Array.from(this.#blobs.keys());
  }

  async delete(digest: Digest): Promise<boolean> {
    return this.#blobs.delete(digest);
  }
}
