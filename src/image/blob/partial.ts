/**
 * A download that goes on where an earlier one ended, maybe in another process.
 *
 * The file holds the first bytes of the blob, as far as they came. They are hashed again before anything is asked for, so that what a crash
 * of the machine did to them is found at the end like any other fault; only then does the whole download start anew.
 */
import { writeSync } from "node:fs";
import { open, rm, type FileHandle } from "node:fs/promises";
import { CodedError } from "#base/errors.ts";
import { hasherFor, requireContent, type ContentHasher, type ContentIdentity, type ExpectedContent } from "#spec/digest.ts";
import type { BlobProgress } from "./store.ts";

/** Where the bytes come from and what they must be. */
export interface Download {
  readonly from: (offset: number) => AsyncIterable<Uint8Array>;
  readonly expected: ExpectedContent;
  readonly progress?: BlobProgress | undefined;
}

const readChunkBytes = 1 << 20;

/**
 * Completes the file `path` with what it lacks of the blob, verified and durable. The caller has claimed the blob.
 *
 * After an error that is not about the content, the file stays for the next attempt; content that is not what was expected goes.
 *
 * @throws CodedError `corrupt`, `unsupported`, and whatever the download throws.
 */
export async function writePartial(path: string, download: Download): Promise<ContentIdentity> {
  const file = await open(path, "a+", 0o644);
  try {
    const identity = await completeOrRestart(file, download);
    // Data before name: a rename that reaches the disk before the bytes would leave a blob of zeros after a power failure.
    await file.sync();
    return identity;
  } catch (error) {
    // What is too short may be a connection that was cut: the rest can still come.
    const isShort = (await file.stat()).size < (download.expected.size ?? 0);
    if (error instanceof CodedError && error.code === "corrupt" && !isShort) await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

/** When the whole is not what it should be, the fault may lie in what an earlier attempt left: it is tried once without that. */
async function completeOrRestart(file: FileHandle, download: Download): Promise<ContentIdentity> {
  const present = await hashPresent(file, download.expected);
  const presentBytes = present.size;
  try {
    return await complete(file, present, download);
  } catch (error) {
    if (presentBytes === 0 || !(error instanceof CodedError) || error.code !== "corrupt") throw error;
    await file.truncate(0);
    return await complete(file, hasherFor(download.expected.digest), download);
  }
}

async function complete(file: FileHandle, hasher: ContentHasher, { from, expected, progress }: Download): Promise<ContentIdentity> {
  if (hasher.size > 0) progress?.(hasher.size);
  if (hasher.size === 0 || hasher.size !== expected.size) {
    for await (const chunk of from(hasher.size)) {
      if (expected.size !== undefined && hasher.size + chunk.length > expected.size)
        throw new CodedError("corrupt", `cannot accept ${expected.digest}: it has more than ${expected.size} bytes`);
      hasher.update(chunk);
      for (let written = 0; written < chunk.length;)
        // In place: into the page cache it takes less than the way to another thread and back.
        written += writeSync(file.fd, chunk, written, chunk.length - written, null);
      progress?.(hasher.size);
    }
  }
  const identity = hasher.finish();
  requireContent(identity, expected);
  return identity;
}

/** Hashes what an earlier attempt left; more than the blob has is worth nothing. */
async function hashPresent(file: FileHandle, expected: ExpectedContent): Promise<ContentHasher> {
  const { size } = await file.stat();
  const hasher = hasherFor(expected.digest);
  if (expected.size === undefined || size > expected.size) {
    await file.truncate(0);
    return hasher;
  }
  const buffer = Buffer.allocUnsafe(Math.min(readChunkBytes, Math.max(size, 1)));
  while (hasher.size < size) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, hasher.size);
    if (bytesRead === 0) break;
    hasher.update(buffer.subarray(0, bytesRead));
  }
  return hasher;
}
