/**
 * The bytes of op records: one growing buffer, written front to back (docs/program-format.md#record).
 *
 * Used by the generated encoder; knows kinds of fields, not ops.
 */
import type { ByteString } from "#base/byte-string.ts";
import { CodedError } from "#base/errors.ts";

const recordHeaderBytes = 8;
/** How many buffers wait to be used again: what may be ahead of the executor (spawn-node.ts), in pieces of 128 KiB. */
const maxSpare = 8;
const nothing = Buffer.alloc(0);

/** Writes records into one buffer that grows; `take()` hands out what is complete. */
export class RecordWriter {
  #buffer: Buffer = nothing;
  #length = 0;
  #recordStart = 0;
  readonly #initialBytes: number;
  readonly #spare: Buffer[] = [];
  readonly #recordLimitBytes: number;

  constructor(options: { initialBytes?: number; recordLimitBytes?: number } = {}) {
    this.#initialBytes = options.initialBytes ?? 16384;
    this.#recordLimitBytes = options.recordLimitBytes ?? 1 << 20;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Starts a record of op `code`. */
  begin(code: number): void {
    this.#recordStart = this.#length;
    this.#reserve(recordHeaderBytes);
    this.#buffer.writeUInt32LE(code, this.#length);
    this.#length += recordHeaderBytes;
  }

  /** Pads the record and writes its length. @throws CodedError `exhausted` when it is over the limit. */
  finish(): void {
    this.#pad();
    const size = this.#length - this.#recordStart;
    if (size > this.#recordLimitBytes) {
      throw new CodedError("exhausted", `cannot encode an op of ${size} bytes: the limit is ${this.#recordLimitBytes}`);
    }
    this.#buffer.writeUInt32LE(size, this.#recordStart + 4);
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#buffer.writeUInt32LE(value, this.#length);
    this.#length += 4;
  }

  u64(value: number): void {
    this.i64(value);
  }

  i64(value: number): void {
    if (!Number.isSafeInteger(value)) throw new CodedError("internal", `cannot encode ${value}: it is no safe integer`);
    const high = Math.floor(value / 2 ** 32);
    this.#reserve(8);
    this.#buffer.writeUInt32LE(value - high * 2 ** 32, this.#length);
    this.#buffer.writeInt32LE(high, this.#length + 4);
    this.#length += 8;
  }

  limit(value: bigint): void {
    this.#reserve(8);
    this.#buffer.writeBigUInt64LE(value, this.#length);
    this.#length += 8;
  }

  text(value: string): void {
    this.#string(value, "utf8");
  }

  name(value: ByteString): void {
    this.#string(value, "latin1");
  }

  texts(values: readonly string[]): void {
    this.#slots(values.length);
    for (const value of values) this.#string(value, "utf8");
  }

  names(values: readonly ByteString[]): void {
    this.#slots(values.length);
    for (const value of values) this.#string(value, "latin1");
  }

  bytes(value: Uint8Array): void {
    this.u32(value.length);
    this.#pad();
    this.#append(value);
  }

  /** A chunk of a `file` op's data; a length of 0 ends the file. */
  chunk(offset: number, data: Uint8Array): void {
    this.u64(offset);
    this.u32(data.length);
    this.u32(0);
    this.#append(data);
    this.#pad();
  }

  /** Raw bytes, for the program's header. */
  raw(data: Uint8Array): void {
    this.#append(data);
  }

  /** Hands out what is written so far, which is the caller's from then on, and starts again at 0. */
  take(): Buffer {
    const taken = this.#buffer.subarray(0, this.#length);
    this.#buffer = this.#spare.pop() ?? nothing;
    this.#length = 0;
    return taken;
  }

  /** Takes back what `take()` has handed out, when nobody looks at it any more: a stream then needs as many buffers as are on their way. */
  giveBack(taken: Buffer): void {
    if (taken.buffer.byteLength === this.#initialBytes && this.#spare.length < maxSpare) this.#spare.push(Buffer.from(taken.buffer));
  }

  #append(data: Uint8Array): void {
    this.#reserve(data.length);
    this.#buffer.set(data, this.#length);
    this.#length += data.length;
  }

  #string(value: string, encoding: "utf8" | "latin1"): void {
    if (value.includes("\0")) {
      throw new CodedError("invalid-argument", `cannot use ${JSON.stringify(value.slice(0, 80))}: it contains a NUL character`);
    }
    this.#reserve(4 + value.length * 3 + 1);
    const written = this.#buffer.write(value, this.#length + 4, encoding);
    this.#buffer.writeUInt32LE(written, this.#length);
    this.#length += 4 + written;
    this.#buffer[this.#length++] = 0;
  }

  #slots(count: number): void {
    this.u32(count);
    this.#pad();
    const size = (count + 1) * 8;
    this.#reserve(size);
    this.#buffer.fill(0, this.#length, this.#length + size);
    this.#length += size;
  }

  /** Zero bytes up to the next multiple of 8. Records start at such a multiple, so this aligns within them too. */
  #pad(): void {
    const size = -this.#length & 7;
    this.#reserve(size);
    this.#buffer.fill(0, this.#length, this.#length + size);
    this.#length += size;
  }

  #reserve(size: number): void {
    if (this.#length + size <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#initialBytes, this.#buffer.length * 2, this.#length + size));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }
}
