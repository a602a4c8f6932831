/**
 * The blob store: content under its digest. Nothing gets in that is not what its name says, and nothing comes
 * out that is not; a store holds no names of images and knows nothing of manifests.
 */
import { verifyBytes, type ContentIdentity, type Digest, type ExpectedContent } from "#spec/digest.ts";
import { CodedError } from "#base/errors.ts";

/**
 * Where the bytes of a blob come from.
 *
 * - `path`: a regular file of the host; its blocks are shared where the file system can. With `link`, the
 *   file itself may be shared (a hard link), when nobody but root and we can write to it.
 * - `from`: bytes that can be had from any offset on, a download say. A directory store keeps what came of it when it fails, and
 *   asks for the rest next time; it asks for nothing while another process is getting the same blob. Read it only when asked.
 */
export type BlobContent =
  | Uint8Array
  | AsyncIterable<Uint8Array>
  | { readonly path: string; readonly link?: boolean }
  | { readonly from: (offset: number) => AsyncIterable<Uint8Array> };

/** Which bytes of a blob are wanted. */
export interface OpenRequest {
  /** Bytes to leave out at the beginning; what follows is then not verified, because a digest is of the whole. */
  readonly offset?: number;
  /** The type that the descriptor says, for readers that keep documents and other blobs in different places (registries). */
  readonly mediaType?: string;
}

/** How far a blob has come; called with the bytes so far. */
export type BlobProgress = (doneBytes: number) => void;

/** Content by digest. One contract suite tests every implementation. */
export interface BlobStore {
  /** The bytes of the blob, or undefined when it is not here. */
  size(digest: Digest): Promise<number | undefined>;

  /**
   * The content, verified on the way: the iteration fails with `corrupt` at its end when it is not what the digest says,
   * so act on it only when all of it has come. @throws CodedError `not-found`, from the iteration.
   */
  open(digest: Digest, request?: OpenRequest): AsyncIterable<Uint8Array>;

  /** @see BlobReader */
  readSmall?(digest: Digest, maxBytes: number): Uint8Array | undefined;

  /**
   * Stores content, atomically: after success the blob is here and verified, after failure nothing is.
   *
   * Success means "it is here": for a digest that is here already the content may not be read at all.
   * Without `expected`, the content gets the sha256 digest that it has.
   *
   * @throws CodedError `corrupt` when the content is not what is expected; `unsupported` for a digest that cannot be verified.
   */
  put(content: BlobContent, expected?: ExpectedContent, progress?: BlobProgress): Promise<ContentIdentity>;

  /** All digests that are here, in no order. */
  list(): Promise<readonly Digest[]>;

  /** Removes the blob and says whether it was here. */
  delete(digest: Digest): Promise<boolean>;
}

/** The shared part of all places that documents are read from. */
export interface BlobReader {
  size(digest: Digest): Promise<number | undefined>;
  open(digest: Digest, request?: OpenRequest): AsyncIterable<Uint8Array>;
  /**
   * The bytes of a blob of at most `maxBytes`, at once and not verified; undefined where that cannot be had, or for a longer one. Listings
   * read hundreds of small documents, and each wait for another thread costs more than the reading.
   */
  readSmall?(digest: Digest, maxBytes: number): Uint8Array | undefined;
}

/** Longer ones are worth a wait. */
const smallBytes = 256 << 10;

/**
 * Reads a small blob whole and verifies it: size before hash, both before anybody parses.
 *
 * @param expected usually a descriptor. Where it says the size, the reader is not asked for it: that may be a request to a registry.
 * @throws CodedError `not-found`, `corrupt`, or `exhausted` when it is longer than `maxBytes`.
 */
export async function readBlob(
  reader: BlobReader,
  expected: ExpectedContent & { readonly mediaType?: string },
  maxBytes: number,
): Promise<Uint8Array> {
  const { digest, mediaType } = expected;
  const small = readSmallBlob(reader, expected, maxBytes);
  if (small !== undefined) return small;
  const size = expected.size !== undefined && expected.size <= maxBytes ? expected.size : await reader.size(digest);
  if (size === undefined) throw missingBlob(digest);
  if (size > maxBytes) throw new CodedError("exhausted", `cannot read ${digest}: it has ${size} bytes, more than ${maxBytes}`);
  if (expected.size !== undefined && size !== expected.size) throw wrongLength(expected, `${size}`);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of reader.open(digest, mediaType === undefined ? {} : { mediaType })) {
    length += chunk.length;
    if (length > size) throw wrongLength({ digest, size }, `${(await reader.size(digest)) ?? `more than ${size}`}`);
    chunks.push(chunk);
  }
  return verifyBytes(Buffer.concat(chunks), { digest, size });
}

/** As readBlob, at once; undefined where that cannot be had. @throws CodedError `corrupt` */
export function readSmallBlob(reader: BlobReader, expected: ExpectedContent, maxBytes: number): Uint8Array | undefined {
  const small = reader.readSmall?.(expected.digest, Math.min(maxBytes, smallBytes));
  return small !== undefined && (expected.size === undefined || expected.size === small.length) ? verifyBytes(small, expected) : undefined;
}

function wrongLength({ digest, size }: ExpectedContent, actual: string): CodedError {
  return new CodedError("corrupt", `cannot accept ${digest}: it has ${actual} bytes, not ${size} bytes`);
}

/** The error for a blob that is not here. */
export function missingBlob(digest: Digest): CodedError {
  return new CodedError("not-found", `cannot read ${digest}: there is no such blob`, { details: { digest } });
}

/** The bytes of `content` as a stream, for stores that have no use for its path. */
export async function* contentChunks(
  content: Exclude<BlobContent, { readonly path: string }>,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (content instanceof Uint8Array) yield content;
  else if ("from" in content) yield* content.from(0);
  else yield* content;
}
