/** A program stream that keeps what it is told, and its bytes as readable ops: what tests of streamed programs look at. */
import { opTable, type FieldKind } from "../../src/program/table.ts";
import type { ProgramStream } from "../../src/program/stream.ts";

/** Takes everything and runs nothing. */
export class RecordingStream implements ProgramStream {
  readonly #written: Uint8Array[] = [];
  finished = false;
  aborted = false;

  get bytes(): Buffer {
    return Buffer.concat(this.#written);
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#written.push(bytes);
    await Promise.resolve();
  }

  async finish(): Promise<void> {
    this.finished = true;
    await Promise.resolve();
  }

  async abort(): Promise<void> {
    this.aborted = true;
    await Promise.resolve();
  }
}

/** One op: its name and its fields; a file's chunks as offset and bytes. */
export interface DecodedOp {
  readonly op: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly chunks: readonly { readonly offset: number; readonly data: Buffer }[];
}

/** Decodes records as docs/program-format.md lays them out; `header` says whether a program's header comes first. */
export function decodeRecords(bytes: Buffer, options: { header: boolean }): DecodedOp[] {
  const ops: DecodedOp[] = [];
  let at = options.header ? 32 : 0;
  while (at < bytes.length) {
    const code = bytes.readUInt16LE(at);
    const length = bytes.readUInt32LE(at + 4);
    const definition = opTable.find((op) => op.code === code);
    if (definition === undefined || length % 8 !== 0 || length > 128 << 10) throw new Error(`no record at ${at}`);
    const fields = decodeFields(bytes.subarray(at, at + length), definition.fields);
    at += length;
    const chunks: { offset: number; data: Buffer }[] = [];
    if (definition.name === "file") at = decodeChunks(bytes, at, chunks);
    ops.push({ op: definition.name, fields, chunks });
  }
  return ops;
}

function decodeChunks(bytes: Buffer, start: number, chunks: { offset: number; data: Buffer }[]): number {
  let at = start;
  for (;;) {
    const offset = Number(bytes.readBigUInt64LE(at));
    const length = bytes.readUInt32LE(at + 8);
    const data = bytes.subarray(at + 16, at + 16 + length);
    at += 16 + ((length + 7) & ~7);
    if (length === 0) return at;
    if (length > 128 << 10) throw new Error(`a chunk of ${length} bytes`);
    chunks.push({ offset, data });
  }
}

function decodeFields(record: Buffer, kinds: Readonly<Record<string, FieldKind>>): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  let at = 8;
  const text = (): string => {
    const length = record.readUInt32LE(at);
    const value = record.toString("latin1", at + 4, at + 4 + length);
    at += 4 + length + 1;
    return value;
  };
  const readers: Record<FieldKind, () => unknown> = {
    u32: () => record.readUInt32LE((at += 4) - 4),
    u64: () => Number(record.readBigUInt64LE((at += 8) - 8)),
    i64: () => Number(record.readBigInt64LE((at += 8) - 8)),
    limit: () => record.readBigUInt64LE((at += 8) - 8),
    text,
    name: text,
    texts: () => list(),
    names: () => list(),
    bytes: () => {
      const length = record.readUInt32LE(at);
      at = ((at + 4 + 7) & ~7) + length;
      return record.subarray(at - length, at);
    },
  };
  const list = (): string[] => {
    const count = record.readUInt32LE(at);
    at = ((at + 4 + 7) & ~7) + (count + 1) * 8;
    return Array.from({ length: count }, text);
  };
  for (const [name, kind] of Object.entries(kinds)) fields[name] = readers[kind]();
  return fields;
}

/**
 * Ops as lines: `file a/b 0644 1:2 @5.000000007 10 [0+10] keep-parent`. Times of 0 and owners of 0:0 are left out, so that tests
 * show what they are about.
 */
export function formatOps(ops: readonly DecodedOp[]): string[] {
  return ops.map((op) => {
    const { path, mode, uid, gid, seconds, nanos, size, keepParent, follow, keepTimes, ...rest } = op.fields;
    const words: string[] = [op.op];
    if (typeof path === "string") words.push(path);
    if (typeof mode === "number") words.push(mode.toString(8).padStart(4, "0"));
    if (typeof uid === "number" && typeof gid === "number" && uid + gid > 0) words.push(`${uid}:${gid}`);
    if (typeof seconds === "number" && typeof nanos === "number" && (seconds !== 0 || nanos !== 0)) {
      words.push(`@${seconds}${nanos === 0 ? "" : `.${String(nanos).padStart(9, "0")}`}`);
    }
    if (typeof size === "number")
      words.push(String(size), `[${op.chunks.map((chunk) => `${chunk.offset}+${chunk.data.length}`).join(" ")}]`);
    for (const value of Object.values(rest)) words.push(formatValue(value));
    if (keepParent === 1) words.push("keep-parent");
    if (follow === 1) words.push("follow");
    if (keepTimes === 1) words.push("keep-times");
    return words.join(" ");
  });
}

function formatValue(value: unknown): string {
  if (Buffer.isBuffer(value)) return `=${value.toString("latin1")}`;
  return Array.isArray(value) ? `{${value.join(" ")}}` : String(value);
}
