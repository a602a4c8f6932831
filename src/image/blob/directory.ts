/**
 * A blob store in the `blobs/` of an OCI image layout: blobs/ALGORITHM/ENCODED.
 *
 *     content -> tmp/OWNER (hashed on the way, fsync) -> rename to blobs/sha256/… -> fsync of the directory
 *     download -> tmp/partial-ALGORITHM-ENCODED under a claim (claim.ts): it outlives a failure, and the next attempt goes on there
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
import { cloneFile, findFile, lendFileChunks, linkOwnFile, readFileChunks, syncDirectory, writeFileChunks } from "#sys/fs.ts";
import { ownerName } from "#sys/owner.ts";
import { readSmallFile } from "#sys/small-files.ts";
import { claimBlob, type WithLock } from "./claim.ts";
import { writePartial } from "./partial.ts";
import { contentChunks, missingBlob, type BlobContent, type BlobProgress, type BlobStore, type OpenRequest } from "./store.ts";

/** The blobs of the image layout in `root`. Directories are made when they are needed. */
export class DirectoryBlobStore implements BlobStore {
  readonly #root: string;
  readonly #withLock: WithLock;

  /** `withLock` is taken to remove the claims of dead processes; without it, only this process may write here. */
  constructor(root: string, withLock: WithLock = (work) => work()) {
    this.#root = root;
    this.#withLock = withLock;
  }

  async size(digest: Digest): Promise<number | undefined> {
    const found = await findFile(blobPath(this.#root, digest));
    if (found !== undefined && !found.isFile())
      throw new CodedError("corrupt", `cannot read ${digest}: in the store it is not a regular file`);
    return found?.size;
  }

  async *open(digest: Digest, { offset = 0 }: OpenRequest = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const size = await this.size(digest);
    if (size === undefined) throw missingBlob(digest);
    const path = blobPath(this.#root, digest);
    if (offset > 0) yield* readFileChunks(path, { offset, length: Math.max(0, size - offset) });
    else yield* verifyContent(readFileChunks(path), { digest, size });
  }

  readSmall(digest: Digest, maxBytes: number): Uint8Array | undefined {
    return readSmallFile(blobPath(this.#root, digest), maxBytes);
  }

  async put(content: BlobContent, expected?: ExpectedContent, progress?: BlobProgress): Promise<ContentIdentity> {
    const present = expected === undefined ? undefined : await this.#findPresent(expected);
    if (present !== undefined) return present;
    if (expected !== undefined && "from" in content) return this.#download(content.from, expected, progress);
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

  /** One process at a time; whoever waited finds the blob here. */
  async #download(
    from: (offset: number) => AsyncIterable<Uint8Array>,
    expected: ExpectedContent,
    progress: BlobProgress | undefined,
  ): Promise<ContentIdentity> {
    const release = await claimBlob(this.#root, expected.digest, {
      withLock: this.#withLock,
      isHere: async () => (await this.#findPresent(expected)) !== undefined,
    });
    try {
      const present = await this.#findPresent(expected);
      if (present !== undefined) return present;
      const partial = partialPath(this.#root, expected.digest);
      const identity = await writePartial(partial, { from, expected, progress });
      await this.#publish(partial, identity.digest);
      return identity;
    } finally {
      await release?.();
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
    if (content.link !== true || !(await linkOwnFile(content.path, temporary))) await cloneFile(content.path, temporary);
    for await (const chunk of lendFileChunks(temporary)) see(chunk);
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

/** Where what came of an unfinished download of `digest` is kept. */
export function partialPath(root: string, digest: Digest): string {
  return join(root, "tmp", `partial-${digestAlgorithm(digest)}-${digestEncoded(digest)}`);
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
