/**
 * A blob store in the `blobs/` of an OCI image layout: blobs/ALGORITHM/ENCODED.
 *
 *     content -> tmp/OWNER (hashed on the way, fsync) -> rename to blobs/sha256/… -> fsync of the directory
 *
 * A path is made of a checked digest only. The temporary files lie on the same file system, so a rename is all
 * that publishes a blob; what a killed process leaves in tmp/ has its name on it (sys/owner.ts).
 */
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CodedError, isErrno } from "#base/errors.ts";
import {
  ContentHasher,
  digestAlgorithm,
  digestEncoded,
  findDigestFault,
  hasherFor,
  requireContent,
  verifyContent,
  type ContentIdentity,
  type Digest,
  type ExpectedContent,
} from "#spec/digest.ts";
import { cloneFile, findFile, readFileChunks, syncDirectory, writeFileChunks } from "#sys/fs.ts";
import { ownerName } from "#sys/owner.ts";
import { contentChunks, missingBlob, type BlobContent, type BlobProgress, type BlobStore } from "./store.ts";

/** The blobs of the image layout in `root`. Directories are made when they are needed. */
export class DirectoryBlobStore implements BlobStore {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async size(digest: Digest): Promise<number | undefined> {
    const found = await findFile(blobPath(this.#root, digest));
    if (found !== undefined && !found.isFile())
      throw new CodedError("corrupt", `cannot read ${digest}: in the store it is not a regular file`);
    return found?.size;
  }

  async *open(digest: Digest): AsyncGenerator<Uint8Array, void, undefined> {
    const size = await this.size(digest);
    if (size === undefined) throw missingBlob(digest);
    yield* verifyContent(readFileChunks(blobPath(this.#root, digest)), { digest, size });
  }

  async put(content: BlobContent, expected?: ExpectedContent, progress?: BlobProgress): Promise<ContentIdentity> {
    const present = expected === undefined ? undefined : await this.#findPresent(expected);
    if (present !== undefined) return present;
    const hasher = expected === undefined ? new ContentHasher() : hasherFor(expected.digest);
    const temporary = join(this.#root, "tmp", ownerName());
    await mkdir(dirname(temporary), { recursive: true });
    try {
      await this.#write(content, temporary, (chunk) => {
        hasher.update(chunk);
        if (expected?.size !== undefined && hasher.size > expected.size) {
          throw new CodedError("corrupt", `cannot accept ${expected.digest}: it has more than ${expected.size} bytes`);
        }
        progress?.(hasher.size);
      });
      const identity = hasher.finish();
      if (expected !== undefined) requireContent(identity, expected);
      await this.#publish(temporary, identity.digest);
      return identity;
    } finally {
      await rm(temporary, { force: true });
    }
  }

  async *list(): AsyncGenerator<Digest, void, undefined> {
    for (const algorithm of await namesIn(join(this.#root, "blobs"))) {
      for (const encoded of await namesIn(join(this.#root, "blobs", algorithm))) {
        const digest = `${algorithm}:${encoded}`;
        if (findDigestFault(digest) === undefined) yield digest as Digest;
      }
    }
  }

  async delete(digest: Digest): Promise<boolean> {
    const path = blobPath(this.#root, digest);
    try {
      await rm(path);
      return true;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return false;
      throw error;
    }
  }

  async #findPresent(expected: ExpectedContent): Promise<ContentIdentity | undefined> {
    const size = await this.size(expected.digest);
    if (size === undefined) return undefined;
    requireContent({ digest: expected.digest, size }, expected);
    return { digest: expected.digest, size };
  }

  /** A file is copied first and the copy is hashed: what somebody does to the original meanwhile cannot matter. */
  async #write(content: BlobContent, temporary: string, see: (chunk: Uint8Array) => void): Promise<void> {
    if (!("path" in content)) return writeFileChunks(temporary, seen(contentChunks(content), see));
    await cloneFile(content.path, temporary);
    for await (const chunk of readFileChunks(temporary)) see(chunk);
  }

  async #publish(temporary: string, digest: Digest): Promise<void> {
    const path = blobPath(this.#root, digest);
    await mkdir(dirname(path), { recursive: true });
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  }
}

/** Where the image layout in `root` keeps the blob `digest`. */
export function blobPath(root: string, digest: Digest): string {
  return join(root, "blobs", digestAlgorithm(digest), digestEncoded(digest));
}

async function* seen(chunks: AsyncIterable<Uint8Array>, see: (chunk: Uint8Array) => void): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of chunks) {
    see(chunk);
    yield chunk;
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return [];
    throw error;
  }
}
