/**
 * Digests: the names of content, and the check that content deserves its name.
 *
 * A digest becomes part of a path in the store, so only parseDigest makes one: nothing that it lets
 * through can leave a directory (CVE-2024-3727).
 */
import { CodedError } from "#base/errors.ts";

/** `algorithm:encoded`, checked. */
export type Digest = string & { readonly __brand: "Digest" };

/** A hash under way, as node:crypto and Bun have it. */
export interface RunningHash {
  update(bytes: Uint8Array): RunningHash;
  digest(encoding: "hex"): string;
}

/** Begins a hash. */
export type StartHash = (algorithm: DigestAlgorithm) => RunningHash;

// Not imported: loading node:crypto takes Bun 2 ms, and the executables do without it.
let createHash: StartHash = (algorithm) => process.getBuiltinModule("node:crypto").createHash(algorithm);

/** Has all hashes from now on made by `start`, which must know every DigestAlgorithm; the executables hand in Bun's own. */
export function makeHashesWith(start: StartHash): void {
  createHash = start;
}

/** Algorithms whose content can be verified, with the length of their hexadecimal form. */
const hexLengths = { sha256: 64, sha512: 128 } as const;

/** An algorithm whose content can be verified. */
export type DigestAlgorithm = keyof typeof hexLengths;

// SPEC: image-spec descriptor.md#digests. The length is ours: it keeps a blob's name below NAME_MAX.
const grammar = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;
const maxDigestLength = 240;

/**
 * Parses a digest. One of an unknown algorithm is accepted; its content cannot be verified.
 *
 * @throws CodedError `invalid-spec`
 */
export function parseDigest(text: string): Digest {
  const fault = findDigestFault(text);
  if (fault !== undefined) throw new CodedError("invalid-spec", `cannot use digest ${JSON.stringify(text.slice(0, 200))}: ${fault}`);
  return text as Digest;
}

/** What keeps `text` from being a digest, as a fact for a sentence; undefined when it is one. */
export function findDigestFault(text: string): string | undefined {
  if (text.length > maxDigestLength) return `it has ${text.length} characters, more than ${maxDigestLength}`;
  if (!grammar.test(text)) return "it is not of the form algorithm:encoded";
  const algorithm = text.slice(0, text.indexOf(":"));
  if (!isVerifiable(algorithm)) return undefined;
  const length = hexLengths[algorithm];
  const encoded = text.slice(algorithm.length + 1);
  return encoded.length === length && /^[0-9a-f]+$/.test(encoded)
    ? undefined
    : `${algorithm} needs ${length} lower-case hexadecimal digits`;
}

/** The part before the colon. */
export function digestAlgorithm(digest: Digest): string {
  return digest.slice(0, digest.indexOf(":"));
}

/** The part after the colon. */
export function digestEncoded(digest: Digest): string {
  return digest.slice(digest.indexOf(":") + 1);
}

/** The first 12 characters of the encoded part, as listings show ids. */
export function shortDigest(digest: Digest): string {
  return digestEncoded(digest).slice(0, 12);
}

/** The digest of `bytes`. */
export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = "sha256"): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}` as Digest;
}

/** What content must be: its name and, unless nobody knows it yet, its length in bytes. */
export interface ExpectedContent {
  readonly digest: Digest;
  readonly size?: number | undefined;
}

/** What content is. */
export interface ContentIdentity {
  readonly digest: Digest;
  readonly size: number;
}

/** Hashes content as it passes. Feed all of it, then ask once. */
export class ContentHasher {
  readonly #algorithm: DigestAlgorithm;
  readonly #hash: RunningHash;
  #size = 0;

  constructor(algorithm: DigestAlgorithm = "sha256") {
    this.#algorithm = algorithm;
    this.#hash = createHash(algorithm);
  }

  /** Bytes seen so far. */
  get size(): number {
    return this.#size;
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#size += bytes.length;
  }

  /** The identity of all that was fed. */
  finish(): ContentIdentity {
    return { digest: `${this.#algorithm}:${this.#hash.digest("hex")}` as Digest, size: this.#size };
  }
}

/** A hasher for content that is expected to be `digest`. @throws CodedError `unsupported` for an unknown algorithm. */
export function hasherFor(digest: Digest): ContentHasher {
  const algorithm = digestAlgorithm(digest);
  if (!isVerifiable(algorithm))
    throw new CodedError("unsupported", `cannot verify ${digest}: the algorithm ${algorithm} is not one of sha256, sha512`);
  return new ContentHasher(algorithm);
}

/** Compares size first: it needs no hash. @throws CodedError `corrupt` */
export function requireContent(actual: ContentIdentity, expected: ExpectedContent): void {
  if (expected.size !== undefined && actual.size !== expected.size) throw wrongSize(expected, `it has ${actual.size} bytes`);
  if (actual.digest !== expected.digest) {
    throw new CodedError("corrupt", `cannot accept ${expected.digest}: its content has the digest ${actual.digest}`);
  }
}

/** `bytes` once they are what `expected` says. @throws CodedError `corrupt` */
export function verifyBytes(bytes: Uint8Array, expected: ExpectedContent): Uint8Array {
  if (expected.size !== undefined && bytes.length !== expected.size) throw wrongSize(expected, `it has ${bytes.length} bytes`);
  const hasher = hasherFor(expected.digest);
  hasher.update(bytes);
  requireContent(hasher.finish(), expected);
  return bytes;
}

/**
 * Passes `content` on and checks it on the way: too many bytes fail at once, the digest at the end.
 *
 * Whoever stops before the end has verified nothing; a consumer must read on until the iteration is over.
 *
 * @throws CodedError `corrupt`, from the iteration.
 */
export async function* verifyContent(
  content: AsyncIterable<Uint8Array>,
  expected: ExpectedContent,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hasher = hasherFor(expected.digest);
  for await (const chunk of content) {
    if (expected.size !== undefined && hasher.size + chunk.length > expected.size) throw wrongSize(expected, "it has more");
    hasher.update(chunk);
    yield chunk;
  }
  requireContent(hasher.finish(), expected);
}

function isVerifiable(algorithm: string): algorithm is DigestAlgorithm {
  return Object.hasOwn(hexLengths, algorithm);
}

function wrongSize(expected: ExpectedContent, fact: string): CodedError {
  return new CodedError("corrupt", `cannot accept ${expected.digest}: ${fact}, not ${expected.size} bytes`);
}
