/**
 * A blob store in the `blobs/` of an OCI image layout: blobs/ALGORITHM/ENCODED.
 *
 * A path is made of a checked digest only. Looking, reading and removing is here; how a blob gets in is put.ts.
 */
import { readdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { CodedError, isErrno } from "#base/errors.ts";
import { findDigestFault, requireContent, verifyContent, type ContentIdentity, type Digest, type ExpectedContent } from "#spec/digest.ts";
import { findFile } from "#sys/fs.ts";
import { readSmallFile } from "#sys/small-files.ts";
import type { WithLock } from "./claim.ts";
import { blobPath } from "./paths.ts";
import { missingBlob, type BlobContent, type BlobProgress, type BlobStore, type OpenRequest } from "./store.ts";

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
    const { readFileChunks } = await import("#sys/file-chunks.ts");
    if (offset > 0) yield* readFileChunks(path, { offset, length: Math.max(0, size - offset) });
    else yield* verifyContent(readFileChunks(path), { digest, size });
  }

  readSmall(digest: Digest, maxBytes: number): Uint8Array | undefined {
    return readSmallFile(blobPath(this.#root, digest), maxBytes);
  }

  async put(content: BlobContent, expected?: ExpectedContent, progress?: BlobProgress): Promise<ContentIdentity> {
    const present = expected === undefined ? undefined : await this.#findPresent(expected);
    if (present !== undefined) return present;
    // Loaded on use: who only looks, names and removes writes no blob.
    const { putBlob } = await import("./put.ts");
    const find = (wanted: ExpectedContent): Promise<ContentIdentity | undefined> => this.#findPresent(wanted);
    return await putBlob({ root: this.#root, withLock: this.#withLock, find }, content, { expected, progress });
  }

  list(): Promise<readonly Digest[]> {
    return new Promise((resolve) => {
      resolve(listNow(join(this.#root, "blobs")));
    });
  }

  delete(digest: Digest): Promise<boolean> {
    return new Promise((resolve) => {
      resolve(removeNow(blobPath(this.#root, digest)));
    });
  }

  async #findPresent(expected: ExpectedContent): Promise<ContentIdentity | undefined> {
    const size = await this.size(expected.digest);
    if (size === undefined) return undefined;
    requireContent({ digest: expected.digest, size }, expected);
    return { digest: expected.digest, size };
  }
}

function listNow(blobs: string): Digest[] {
  const digests = namesIn(blobs).flatMap((algorithm) => namesIn(join(blobs, algorithm)).map((encoded) => `${algorithm}:${encoded}`));
  return digests.filter((digest): digest is Digest => findDigestFault(digest) === undefined);
}

function removeNow(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return [];
    throw error;
  }
}
