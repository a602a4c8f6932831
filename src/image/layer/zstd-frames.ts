/**
 * The skeleton of a zstd stream: frames, blocks and skippable frames, without decoding any of them.
 *
 * Decoders differ in what they let pass: libzstd's stream stops silently where bytes are missing or foreign, and a
 * decoder in JavaScript allocates any window that a frame asks for. This looks at all headers before a decoder does.
 *
 * @see RFC 8878 section 3.1
 */
import { CodedError } from "#base/errors.ts";

/** The largest window that is decoded, in bytes: libzstd's own default (ZSTD_WINDOWLOG_LIMIT_DEFAULT, 27). */
export const windowLimitBytes: number = 128 << 20;

const blockLimitBytes = 128 << 10;

type Expecting = "magic" | "skippable-size" | "descriptor" | "frame-header" | "block-header";

/** How many bytes each header part has; a frame's header depends on its descriptor. */
const fixedSizes = { magic: 4, "skippable-size": 4, descriptor: 1, "block-header": 3 } as const;

/** Walks over a stream that comes in pieces of any size. */
export class ZstdFrameWalker {
  #expecting: Expecting = "magic";
  /** The header part under way, collected byte by byte; content is skipped without a look. */
  readonly #header = Buffer.alloc(16);
  #have = 0;
  #need = 4;
  #skip = 0;
  #descriptor = 0;
  #frames = 0;

  /**
   * Walks over `bytes` from `start` on, up to the next end of a frame.
   *
   * @returns where it stopped: just behind a frame, or at the end of `bytes`
   * @throws CodedError `corrupt`; `unsupported` for a window over the limit or a dictionary
   */
  advance(bytes: Uint8Array, start: number): number {
    let at = start;
    while (at < bytes.length) {
      if (this.#skip > 0) {
        const size = Math.min(this.#skip, bytes.length - at);
        this.#skip -= size;
        at += size;
      } else {
        this.#header[this.#have++] = bytes[at++] ?? 0;
        if (this.#have < this.#need) continue;
        this.#have = 0;
        this.#part();
      }
      if (this.#expecting === "magic" && this.#skip === 0) return at;
    }
    return at;
  }

  /** @throws CodedError `corrupt` when the stream ends within a frame or has none */
  end(): void {
    if (this.#expecting !== "magic" || this.#have > 0 || this.#skip > 0) throw fault("the stream is cut off");
    if (this.#frames === 0) throw fault("the stream is empty");
  }

  #expect(what: Exclude<Expecting, "frame-header">): void {
    this.#expecting = what;
    this.#need = fixedSizes[what];
  }

  #part(): void {
    switch (this.#expecting) {
      case "magic": {
        const magic = this.#header.readUInt32LE(0);
        if (magic === 0xfd2fb528) return this.#expect("descriptor");
        if ((magic & 0xfffffff0) >>> 0 === 0x184d2a50) return this.#expect("skippable-size");
        throw fault(this.#frames === 0 ? "the content does not begin with a frame" : "something that is no frame follows the last one");
      }
      case "skippable-size":
        this.#skip = this.#header.readUInt32LE(0);
        this.#frames++;
        return this.#expect("magic");
      case "descriptor": {
        const descriptor = (this.#descriptor = this.#header[0] ?? 0);
        if ((descriptor & 0x08) !== 0) throw fault("a frame has a reserved bit set");
        this.#expecting = "frame-header";
        this.#need = (isSingleSegment(descriptor) ? 0 : 1) + dictionaryBytes(descriptor) + contentSizeBytes(descriptor);
        return;
      }
      case "frame-header":
        this.#frameHeader();
        return this.#expect("block-header");
      case "block-header":
        return this.#blockHeader();
    }
  }

  #frameHeader(): void {
    const descriptor = this.#descriptor;
    const windowBytes = isSingleSegment(descriptor) ? 0 : 1;
    const dictionary = this.#header.subarray(windowBytes, windowBytes + dictionaryBytes(descriptor));
    if (dictionary.some((byte) => byte !== 0)) throw fault("a frame needs a dictionary", "unsupported");
    const size = isSingleSegment(descriptor) ? this.#contentSize(windowBytes + dictionary.length) : windowSize(this.#header[0] ?? 0);
    if (size > windowLimitBytes) throw fault(`a frame needs a window of ${size} bytes, more than ${windowLimitBytes}`, "unsupported");
  }

  #contentSize(at: number): number {
    const bytes = contentSizeBytes(this.#descriptor);
    if (bytes === 8) return Number(this.#header.readBigUInt64LE(at));
    return this.#header.readUIntLE(at, bytes) + (bytes === 2 ? 256 : 0);
  }

  #blockHeader(): void {
    const header = this.#header.readUIntLE(0, 3);
    const size = header >>> 3;
    const type = (header >>> 1) & 3;
    if (type === 3) throw fault("a block has a type that is not defined");
    if (size > blockLimitBytes) throw fault(`a block has ${size} bytes, more than ${blockLimitBytes}`);
    this.#skip = type === 1 ? 1 : size;
    if ((header & 1) === 0) return;
    this.#frames++;
    if ((this.#descriptor & 0x04) !== 0) this.#skip += 4;
    this.#expect("magic");
  }
}

function isSingleSegment(descriptor: number): boolean {
  return (descriptor & 0x20) !== 0;
}

function dictionaryBytes(descriptor: number): number {
  return [0, 1, 2, 4][descriptor & 3] ?? 0;
}

function contentSizeBytes(descriptor: number): number {
  const flag = descriptor >>> 6;
  return flag === 0 ? (isSingleSegment(descriptor) ? 1 : 0) : 1 << flag;
}

function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >>> 3));
  return base + (base / 8) * (descriptor & 7);
}

function fault(fact: string, code: "corrupt" | "unsupported" = "corrupt"): CodedError {
  return new CodedError(code, `cannot decompress zstd: ${fact}`);
}
