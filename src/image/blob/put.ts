/**
 * How a blob gets into a directory store (directory.ts):
 *
 *     content -> tmp/OWNER (hashed on the way, fsync) -> rename to blobs/sha256/… -> fsync of the directory
 *     download -> tmp/partial-ALGORITHM-ENCODED under a claim (claim.ts): it outlives a failure, and the next attempt goes on there
 *
 * The temporary files lie on the same file system, so a rename is all that publishes a blob; what a killed process leaves in tmp/ has its
 * name on it (sys/owner.ts).
 */
import { mkdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CodedError } from "#base/errors.ts";
import { ContentHasher, hasherFor, requireContent, type ContentIdentity, type Digest, type ExpectedContent } from "#spec/digest.ts";
import { cloneFile, lendFileChunks, linkOwnFile, syncDirectory, writeFileChunks } from "#sys/file-chunks.ts";
import { ownerName } from "#sys/owner.ts";
import { claimBlob, type WithLock } from "./claim.ts";
import { writePartial } from "./partial.ts";
import { blobPath, partialPath } from "./paths.ts";
import { contentChunks, type BlobContent, type BlobProgress } from "./store.ts";

/** The store that gets the blob. */
export interface PutPlace {
  readonly root: string;
  readonly withLock: WithLock;
  /** What is here already. @throws CodedError `corrupt` when it has another size than expected */
  readonly find: (expected: ExpectedContent) => Promise<ContentIdentity | undefined>;
}

/** What is known of the content before it comes, and who is told how far it has. */
export interface PutOptions {
  readonly expected: ExpectedContent | undefined;
  readonly progress: BlobProgress | undefined;
}

/** Puts content into the store that is not in it yet. @see BlobStore.put */
export async function putBlob(place: PutPlace, content: BlobContent, { expected, progress }: PutOptions): Promise<ContentIdentity> {
  if (expected !== undefined && "from" in content) return await download(place, content.from, { expected, progress });
  const hasher = expected === undefined ? new ContentHasher() : hasherFor(expected.digest);
  const temporary = join(place.root, "tmp", ownerName());
  await mkdir(dirname(temporary), { recursive: true });
  try {
    await write(content, temporary, (chunk) => {
      hasher.update(chunk);
      if (expected?.size !== undefined && hasher.size > expected.size) {
        throw new CodedError("corrupt", `cannot accept ${expected.digest}: it has more than ${expected.size} bytes`);
      }
      progress?.(hasher.size);
    });
    const identity = hasher.finish();
    if (expected !== undefined) requireContent(identity, expected);
    await publish(place.root, temporary, identity.digest);
    return identity;
  } finally {
    await rm(temporary, { force: true });
  }
}

/** One process at a time; whoever waited finds the blob here. */
async function download(
  { root, withLock, find }: PutPlace,
  from: (offset: number) => AsyncIterable<Uint8Array>,
  { expected, progress }: PutOptions & { readonly expected: ExpectedContent },
): Promise<ContentIdentity> {
  const release = await claimBlob(root, expected.digest, { withLock, isHere: async () => (await find(expected)) !== undefined });
  try {
    const present = await find(expected);
    if (present !== undefined) return present;
    const partial = partialPath(root, expected.digest);
    const identity = await writePartial(partial, { from, expected, progress });
    await publish(root, partial, identity.digest);
    return identity;
  } finally {
    await release?.();
  }
}

/** A file is copied first and the copy is hashed: what somebody does to the original meanwhile cannot matter. */
async function write(content: BlobContent, temporary: string, see: (chunk: Uint8Array) => void): Promise<void> {
  if (!("path" in content)) return await writeFileChunks(temporary, seen(contentChunks(content), see));
  if (content.link !== true || !(await linkOwnFile(content.path, temporary))) await cloneFile(content.path, temporary);
  for await (const chunk of lendFileChunks(temporary)) see(chunk);
}

async function publish(root: string, temporary: string, digest: Digest): Promise<void> {
  const path = blobPath(root, digest);
  await mkdir(dirname(path), { recursive: true });
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

async function* seen(chunks: AsyncIterable<Uint8Array>, see: (chunk: Uint8Array) => void): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of chunks) {
    see(chunk);
    yield chunk;
  }
}
