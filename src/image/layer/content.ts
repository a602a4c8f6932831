/**
 * What files held when they were unpacked, found in the layers again. Asked for only where metadata cannot tell whether a file has changed:
 * its times and size are as they were, but not its inode or change time.
 */
import type { ByteString } from "#base/byte-string.ts";
import { ContentHasher } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import type { TarHeader } from "../tar/header.ts";
import { TarReader, type TarVisitor } from "../tar/read.ts";
import { recordKinds } from "../tree/listing.ts";
import { survey, type Place, type SurveyVisitor } from "../tree/survey.ts";
import { decompressLayer } from "./decompress.ts";
import { classifyName, normalisePath } from "./names.ts";

/** A layer's type and bytes. */
export interface LayerContent {
  readonly descriptor: Descriptor;
  readonly open: () => AsyncIterable<Uint8Array>;
}

/** Digests of those of `paths` that the layers (lowest first) hold under these very names; what a link leads to is not found. */
export async function digestsInLayers(layers: readonly LayerContent[], paths: Iterable<ByteString>): Promise<Map<ByteString, string>> {
  const visitor = new DigestVisitor(new Set(paths));
  for (const { descriptor, open } of layers) {
    const reader = new TarReader(visitor);
    for await (const chunk of decompressLayer(open(), descriptor.mediaType)) reader.push(chunk);
    reader.end();
  }
  return visitor.digests;
}

class DigestVisitor implements TarVisitor {
  readonly digests = new Map<ByteString, string>();
  readonly #wanted: ReadonlySet<ByteString>;
  #entry: { path: ByteString; hasher: FileHasher } | undefined;

  constructor(wanted: ReadonlySet<ByteString>) {
    this.#wanted = wanted;
  }

  entry(header: TarHeader): void {
    this.#entry = undefined;
    const name = classifyName(header.path);
    if (name.kind !== "entry" || !this.#wanted.has(name.path)) return;
    this.digests.delete(name.path);
    if (header.kind === "file") this.#entry = { path: name.path, hasher: new FileHasher(header.size) };
    if (header.kind !== "hardlink") return;
    const target = normalisePath(header.linkPath);
    const digest = target.kind === "entry" ? this.digests.get(target.path) : undefined;
    if (digest !== undefined) this.digests.set(name.path, digest);
  }

  data(bytes: Uint8Array, offset: number): void {
    this.#entry?.hasher.add(bytes, offset);
  }

  endEntry(): void {
    if (this.#entry !== undefined) this.digests.set(this.#entry.path, this.#entry.hasher.finish());
  }
}

/** Digests of regular files as they are now, in the order of `paths`. @throws CodedError `wrong-state` when one changes meanwhile */
export async function digestsInTree(place: Place, paths: readonly ByteString[]): Promise<string[]> {
  const visitor = new TreeVisitor();
  const ops = paths.map((path) => ({ op: "send-file", path }) as const);
  if (ops.length > 0) for await (const _ of survey(place, ops, visitor));
  return visitor.digests;
}

class TreeVisitor implements SurveyVisitor {
  readonly digests: string[] = [];
  #hasher: FileHasher | undefined;

  record(kind: number, bytes: Buffer, at: number): void {
    if (kind === recordKinds.dataBegins) this.#hasher = new FileHasher(Number(bytes.readBigUInt64LE(at + 40)));
    else this.digests.push(this.#hasher?.finish() ?? "");
  }

  data(bytes: Buffer, offset: number): void {
    this.#hasher?.add(bytes, offset);
  }
}

const zeros = Buffer.alloc(64 << 10);

/** The digest of a file that comes without its holes. */
class FileHasher {
  readonly #hasher = new ContentHasher();
  readonly #size: number;

  constructor(size: number) {
    this.#size = size;
  }

  add(bytes: Uint8Array, offset: number): void {
    this.#fill(offset);
    this.#hasher.update(bytes);
  }

  finish(): string {
    this.#fill(this.#size);
    return this.#hasher.finish().digest;
  }

  #fill(end: number): void {
    for (let left = end - this.#hasher.size; left > 0; left = end - this.#hasher.size) {
      this.#hasher.update(left >= zeros.length ? zeros : zeros.subarray(0, left));
    }
  }
}
