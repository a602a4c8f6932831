/**
 * Reading tar incrementally: bytes are pushed in, a visitor is called as soon as something is known.
 *
 * Data is handed out as views of what was pushed, never copied, and nothing is awaited: a layer of 50 000 entries
 * must cost no promise per entry and no work per byte.
 */
import { byteStringFromBytes, displayByteString, type ByteString } from "#base/byte-string.ts";
import { assert, CodedError } from "#base/errors.ts";
import { entryPath, resolveEntry, storedBytes, type PendingHeaders } from "./entry.ts";
import { blockBytes, parseHeaderBlock, parseNumber, typeFlags, type Fault, type HeaderFields, type TarHeader } from "./header.ts";
import { parsePaxRecords, type PaxFields, type PaxSparse } from "./pax.ts";
import { checkSparseMap, PaxSparseMapReader, readOldGnuSegments, type SparseMap } from "./sparse.ts";

/** Is told what an archive holds, in order. What it throws comes out of `push`. */
export interface TarVisitor {
  entry(header: TarHeader): void;
  /** Part of the last entry's file: `bytes` lie at `offset`; offsets rise. The view is valid during the call. */
  data(bytes: Uint8Array, offset: number): void;
  endEntry(): void;
}

/** How long one PAX header may be, in bytes. Go allows the same. */
export const paxHeaderLimitBytes: number = 1 << 20;
const longNameLimitBytes = 64 << 10;

type State = "header" | "meta" | "old-sparse" | "pax-sparse" | "data" | "padding" | "end";

/** A push parser for one archive. After an error it must not be used any more. */
export class TarReader {
  readonly #visitor: TarVisitor;
  #state: State = "header";
  /** Bytes of the state's own object still to come: meta payload, file data or padding. */
  #remaining = 0;
  /** The part of a block or of a meta payload that came in earlier chunks. */
  #partial = Buffer.allocUnsafeSlow(blockBytes);
  #partialLength = 0;
  #pending: PendingHeaders = {};
  #global: PaxFields | undefined;
  #metaFlag = 0;
  #entry: TarHeader | undefined;
  /** Bytes of data that the archive holds for this entry. */
  #stored = 0;
  #sparseReader: PaxSparseMapReader | undefined;
  #sparse: SparseMap | undefined;
  #segment = 0;
  /** Where in the file the next data byte lies. */
  #fileOffset = 0;
  #zeroBlocks = 0;
  #archiveOffset = 0;
  #path: ByteString | undefined;

  constructor(visitor: TarVisitor) {
    this.#visitor = visitor;
  }

  /** Takes the next bytes of the archive. @throws CodedError `corrupt`, `invalid-spec`, `unsupported`, `exhausted`; what the visitor throws */
  push(chunk: Uint8Array): void {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    let at = 0;
    while (at < bytes.length) {
      const next = this.#step(bytes, at);
      this.#archiveOffset += next - at;
      at = next;
    }
  }

  /** Says that there are no more bytes. @throws CodedError `corrupt` when the archive ends within an entry */
  end(): void {
    // Archives without the two zero blocks exist, and peers read them; that nothing is missing is what the DiffID says.
    if (this.#state === "end") return;
    if (this.#state !== "header" || this.#partialLength > 0 || this.#hasPending()) throw this.#fault("the archive is cut off here");
  }

  #hasPending(): boolean {
    return this.#pending.local !== undefined || this.#pending.longName !== undefined || this.#pending.longLink !== undefined;
  }

  /** Uses some of `bytes` from `at` on; returns where to go on. */
  #step(bytes: Buffer, at: number): number {
    switch (this.#state) {
      case "data":
        return this.#takeData(bytes, at);
      case "padding": {
        const size = Math.min(this.#remaining, bytes.length - at);
        this.#remaining -= size;
        if (this.#remaining === 0) this.#state = "header";
        return at + size;
      }
      case "meta":
        return this.#takeMeta(bytes, at);
      case "end":
        return bytes.length;
      default:
        return this.#takeBlock(bytes, at);
    }
  }

  #takeBlock(bytes: Buffer, at: number): number {
    if (this.#partialLength === 0 && bytes.length - at >= blockBytes) {
      this.#block(bytes, at);
      return at + blockBytes;
    }
    const size = Math.min(blockBytes - this.#partialLength, bytes.length - at);
    bytes.copy(this.#partial, this.#partialLength, at, at + size);
    this.#partialLength += size;
    if (this.#partialLength === blockBytes) {
      this.#partialLength = 0;
      this.#block(this.#partial, 0);
    }
    return at + size;
  }

  #block(bytes: Buffer, at: number): void {
    if (this.#state === "header") this.#header(bytes, at);
    else if (this.#state === "old-sparse") this.#oldSparseExtension(bytes, at);
    else this.#paxSparseMap(bytes, at);
  }

  #header(bytes: Buffer, at: number): void {
    const known = this.#hasPending() ? this.#path : undefined;
    this.#path = known;
    const fields = parseHeaderBlock(bytes, at, this.#fault);
    if (fields === undefined) {
      if (this.#hasPending()) throw this.#fault("an extended header is followed by the end of the archive");
      if (++this.#zeroBlocks === 2) this.#state = "end";
      return;
    }
    if (this.#zeroBlocks > 0) throw this.#fault("it follows a block of zeros, which ends an archive");
    if (fields.flag === typeFlags.pax || fields.flag === typeFlags.paxGlobal) return this.#beginMeta(fields, paxHeaderLimitBytes);
    if (fields.flag === typeFlags.gnuLongName || fields.flag === typeFlags.gnuLongLink) return this.#beginMeta(fields, longNameLimitBytes);
    this.#beginEntry(fields, bytes, at);
  }

  /**
   * SECURITY: a meta header's size is its own field's, never what an earlier PAX header said: otherwise an entry can be
   * smuggled past a reader that takes the other view.
   */
  #beginMeta(fields: HeaderFields, limitBytes: number): void {
    if (fields.size > limitBytes) throw this.#fault(`its extended header has ${fields.size} bytes, more than ${limitBytes}`, "exhausted");
    this.#metaFlag = fields.flag;
    this.#remaining = fields.size;
    this.#partialLength = 0;
    if (fields.size === 0) this.#meta(Buffer.alloc(0));
    else this.#state = "meta";
  }

  #takeMeta(bytes: Buffer, at: number): number {
    const size = Math.min(this.#remaining, bytes.length - at);
    if (this.#partialLength === 0 && size === this.#remaining) {
      this.#meta(bytes.subarray(at, at + size));
      return at + size;
    }
    const total = this.#partialLength + this.#remaining;
    if (this.#partial.length < total) {
      const grown = Buffer.allocUnsafeSlow(total);
      this.#partial.copy(grown, 0, 0, this.#partialLength);
      this.#partial = grown;
    }
    bytes.copy(this.#partial, this.#partialLength, at, at + size);
    this.#partialLength += size;
    this.#remaining -= size;
    if (this.#remaining === 0) this.#meta(this.#partial.subarray(0, total));
    return at + size;
  }

  #meta(payload: Buffer): void {
    this.#partialLength = 0;
    if (this.#metaFlag === typeFlags.paxGlobal)
      this.#global = mergeGlobal(this.#global, parsePaxRecords(payload, this.#fault), this.#fault);
    else if (this.#metaFlag === typeFlags.pax) this.#pending.local = parsePaxRecords(payload, this.#fault);
    else {
      const nul = payload.indexOf(0);
      const name = byteStringFromBytes(payload, 0, nul < 0 ? payload.length : nul);
      if (this.#metaFlag === typeFlags.gnuLongName) this.#pending.longName = name;
      else this.#pending.longLink = name;
    }
    this.#path = this.#pending.local?.sparse?.name ?? this.#pending.longName ?? this.#pending.local?.path;
    this.#pad(payload.length);
  }

  /** Skips what fills `size` bytes up to whole blocks, then expects a header. */
  #pad(size: number): void {
    this.#remaining = -size & (blockBytes - 1);
    this.#state = this.#remaining === 0 ? "header" : "padding";
  }

  #beginEntry(fields: HeaderFields, bytes: Buffer, at: number): void {
    if (this.#global !== undefined) this.#pending.global = this.#global;
    this.#path = entryPath(fields, this.#pending);
    const header = resolveEntry(fields, this.#pending, this.#fault);
    const stored = header.kind === "file" ? storedBytes(fields, this.#pending) : 0;
    this.#entry = header;
    this.#stored = stored;
    this.#sparse = undefined;
    if (fields.flag === typeFlags.gnuSparse) return this.#beginOldSparse(header, bytes, at);
    const sparse = this.#pending.local?.sparse;
    if (header.kind !== "file" || sparse === undefined) return this.#beginData();
    this.#beginPaxSparse(sparse);
  }

  #beginOldSparse(header: TarHeader, bytes: Buffer, at: number): void {
    const size = parseNumber(bytes, at + 483, 12);
    if (!(size >= 0)) throw this.#fault("its real size is not a number that can be used");
    this.#entry = { ...header, size };
    this.#sparse = [];
    readOldGnuSegments(bytes, { start: at + 386, count: 4, map: this.#sparse }, this.#fault);
    if (bytes[at + 482] !== 0) this.#state = "old-sparse";
    else this.#beginData();
  }

  #beginPaxSparse(sparse: PaxSparse): void {
    const major = sparse.major ?? 0;
    if (major > 1 || (sparse.minor ?? 0) > (major === 0 ? 1 : 0))
      throw this.#fault(`its sparse format ${major}.${sparse.minor ?? 0} is not known`, "unsupported");
    if (sparse.realSize === undefined) throw this.#fault("it is sparse, but its real size is missing");
    if (major === 1) {
      this.#sparseReader = new PaxSparseMapReader();
      this.#state = "pax-sparse";
      return;
    }
    if (sparse.segmentCount !== undefined && sparse.map.length !== 2 * sparse.segmentCount) {
      throw this.#fault(`its sparse map has ${sparse.map.length / 2} segments, not ${sparse.segmentCount}`);
    }
    this.#sparse = sparse.map;
    this.#beginData();
  }

  #oldSparseExtension(bytes: Buffer, at: number): void {
    readOldGnuSegments(bytes, { start: at, count: 21, map: (this.#sparse ??= []) }, this.#fault);
    if (bytes[at + 504] === 0) this.#beginData();
  }

  /** The map is part of what the size field counts. */
  #paxSparseMap(bytes: Buffer, at: number): void {
    if (this.#stored < blockBytes) throw this.#fault("its sparse map is cut off");
    this.#stored -= blockBytes;
    if (this.#sparseReader?.takeBlock(bytes, at, this.#fault) !== true) return;
    this.#sparse = this.#sparseReader.map;
    this.#beginData();
  }

  /** Tells the visitor of the entry: now all is known of it but its data. */
  #beginData(): void {
    const header = this.#entry;
    assert(header !== undefined, "an entry's data begins after its header");
    if (this.#sparse !== undefined) checkSparseMap(this.#sparse, { size: header.size, storedBytes: this.#stored }, this.#fault);
    this.#pending = {};
    this.#segment = 0;
    this.#fileOffset = this.#sparse?.[0] ?? 0;
    this.#remaining = this.#stored;
    this.#visitor.entry(header);
    if (this.#stored > 0) {
      this.#state = "data";
      return;
    }
    this.#state = "header";
    this.#visitor.endEntry();
  }

  #takeData(bytes: Buffer, at: number): number {
    const size = Math.min(this.#remaining, bytes.length - at);
    const data = at === 0 && size === bytes.length ? bytes : bytes.subarray(at, at + size);
    if (this.#sparse === undefined) {
      this.#visitor.data(data, this.#fileOffset);
      this.#fileOffset += size;
    } else {
      this.#sparseData(data, this.#sparse);
    }
    this.#remaining -= size;
    if (this.#remaining === 0) {
      this.#visitor.endEntry();
      this.#pad(this.#stored);
    }
    return at + size;
  }

  /** Hands out `data` in pieces that lie in one segment each. The map's lengths add up to what is stored. */
  #sparseData(data: Buffer, map: SparseMap): void {
    let at = 0;
    while (at < data.length) {
      const segmentEnd = (map[this.#segment] ?? 0) + (map[this.#segment + 1] ?? 0);
      const size = Math.min(segmentEnd - this.#fileOffset, data.length - at);
      if (size > 0) this.#visitor.data(data.subarray(at, at + size), this.#fileOffset);
      at += size;
      this.#fileOffset += size;
      if (this.#fileOffset === segmentEnd) {
        this.#segment += 2;
        this.#fileOffset = map[this.#segment] ?? segmentEnd;
      }
    }
  }

  readonly #fault: Fault = (fact, code = "corrupt") => {
    const subject =
      this.#path === undefined ? `the tar header at byte ${this.#archiveOffset}` : `tar entry "${displayByteString(this.#path)}"`;
    return new CodedError(code, `cannot read ${subject}: ${fact}`);
  };
}

/**
 * Global headers: times and ids hold for all entries after them. A global name, target or size would make all entries
 * the same, and xattrs for all would let 1 MiB of archive ask for terabytes of work; nobody writes such headers.
 */
function mergeGlobal(before: PaxFields | undefined, fields: PaxFields, fault: Fault): PaxFields {
  const refused = (["path", "linkPath", "size", "sparse", "xattrs"] as const).find((key) => fields[key] !== undefined);
  if (refused !== undefined) throw fault(`a global PAX header sets the ${refused} of all entries`, "unsupported");
  return { ...before, ...fields };
}
