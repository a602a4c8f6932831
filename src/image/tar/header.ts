/**
 * One tar entry as data, and the 512-byte header block it begins with: v7, ustar, star, GNU.
 *
 * Where formats leave room, this reads as Go's archive/tar does: the peers are built on it, and two readers that
 * see different trees in one archive are a hole.
 */
import type { ByteString } from "#base/byte-string.ts";
import type { CodedError, ErrorCode } from "#base/errors.ts";

/** The unit of a tar archive, in bytes. */
export const blockBytes = 512;

/** What an entry is. */
export type EntryKind = "file" | "hardlink" | "symlink" | "character" | "block" | "directory" | "fifo";

/** An extended attribute. */
export interface Xattr {
  readonly name: ByteString;
  readonly value: Uint8Array;
}

/** One entry: what its header says once extended headers are applied. Names are as stored, not normalised. */
export interface TarHeader {
  readonly kind: EntryKind;
  readonly path: ByteString;
  /** Target of a hard or symbolic link, otherwise empty. */
  readonly linkPath: ByteString;
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of the file, holes included; 0 for everything but files. */
  readonly size: number;
  /** Modification time: whole seconds since 1970, rounded down, and nanoseconds after that. */
  readonly seconds: number;
  readonly nanos: number;
  /** Device number; 0 for everything but devices. */
  readonly major: number;
  readonly minor: number;
  readonly xattrs: readonly Xattr[];
}

/** Makes the error for a fact about what is being read; the reader knows the entry's name. */
export type Fault = (fact: string, code?: ErrorCode) => CodedError;

/** The fields of one header block, before extended headers change them. */
export interface HeaderFields {
  /** The type flag's byte. */
  readonly flag: number;
  readonly path: ByteString;
  readonly linkPath: ByteString;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes stored after the header, whatever they are. */
  readonly size: number;
  readonly seconds: number;
  /** Raw bytes of the device number fields: only devices fill them reliably. */
  readonly device: () => { readonly major: number; readonly minor: number };
}

/** Type flags by name. */
export const typeFlags = {
  oldFile: 0,
  file: 0x30,
  hardlink: 0x31,
  symlink: 0x32,
  character: 0x33,
  block: 0x34,
  directory: 0x35,
  fifo: 0x36,
  contiguous: 0x37,
  gnuLongLink: 0x4b,
  gnuLongName: 0x4c,
  gnuSparse: 0x53,
  paxGlobal: 0x67,
  pax: 0x78,
} as const;

/** Parses the block at `at`; undefined for a block of zeros. @throws what `fault` makes */
export function parseHeaderBlock(bytes: Buffer, at: number, fault: Fault): HeaderFields | undefined {
  const sums = sumBlock(bytes, at);
  if (sums.all === 0) return undefined;
  const stored = parseNumber(bytes, at + 148, 8);
  if (stored !== sums.unsigned && stored !== signedSum(bytes, at))
    throw fault("its checksum is wrong: it is no tar header, or a damaged one");
  const number = (start: number, length: number, what: string): number => {
    const value = parseNumber(bytes, at + start, length);
    if (Number.isNaN(value)) throw fault(`its ${what} is not a number that can be used`);
    return value;
  };
  const size = number(124, 12, "size");
  if (size < 0) throw fault(`its size is ${size}`);
  const name = field(bytes, at, 100);
  const prefix = prefixOf(bytes, at);
  return {
    flag: bytes[at + 156] ?? 0,
    path: prefix === "" ? name : (`${prefix}/${name}` as ByteString),
    linkPath: field(bytes, at + 157, 100),
    mode: number(100, 8, "mode"),
    uid: number(108, 8, "owner"),
    gid: number(116, 8, "group"),
    size,
    seconds: number(136, 12, "time"),
    device: () => ({ major: number(329, 8, "device number"), minor: number(337, 8, "device number") }),
  };
}

/**
 * A numeric field: octal digits between blanks, or base-256 with the top bit of the first byte set; 0 when blank.
 *
 * @returns NaN when it is neither, or beyond a safe integer.
 */
export function parseNumber(bytes: Buffer, start: number, length: number): number {
  if (((bytes[start] ?? 0) & 0x80) !== 0) return parseBase256(bytes, start, length);
  const end = start + length;
  let at = start;
  while (at < end && (bytes[at] === 0x20 || bytes[at] === 0)) at++;
  let value = 0;
  for (; at < end; at++) {
    const digit = (bytes[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  while (at < end && bytes[at] === 0x20) at++;
  return at === end || bytes[at] === 0 ? value : Number.NaN;
}

/** Two's complement, big endian; the first byte's top bit is the mark, the next one the sign. */
function parseBase256(bytes: Buffer, start: number, length: number): number {
  const negative = ((bytes[start] ?? 0) & 0x40) !== 0;
  const flip = negative ? 0xff : 0;
  let value = 0;
  for (let index = 0; index < length; index++) {
    const byte = (bytes[start + index] ?? 0) ^ flip;
    value = value * 256 + (index === 0 ? byte & 0x7f : byte);
    if (value > Number.MAX_SAFE_INTEGER) return Number.NaN;
  }
  return negative ? -value - 1 : value;
}

/** The text of a field, up to its first NUL. */
export function field(bytes: Buffer, start: number, length: number): ByteString {
  const limit = start + length;
  let end = start;
  while (end < limit && bytes[end] !== 0) end++;
  // The hot path of every entry: the same as byteStringFromBytes, without a view per call.
  return (end === start ? "" : bytes.toString("latin1", start, end)) as ByteString;
}

/** What goes before the name, if the format has such a field and it is used. */
function prefixOf(bytes: Buffer, at: number): ByteString {
  const none = "" as ByteString;
  if (bytes[at + 345] === 0 || bytes.toString("latin1", at + 257, at + 262) !== "ustar") return none;
  const gnu = bytes[at + 262] === 0x20;
  if (!gnu) return field(bytes, at + 345, isStar(bytes, at) ? 131 : 155);
  // COMPAT: GNU's format has times here, but Go's writer before 1.8 put the ustar prefix here under GNU's magic, and
  // layers written then are still pulled. As Go reads them: what is no number is a prefix.
  const times = !Number.isNaN(parseNumber(bytes, at + 345, 12)) && !Number.isNaN(parseNumber(bytes, at + 357, 12));
  return times ? none : field(bytes, at + 345, 155);
}

function isStar(bytes: Buffer, at: number): boolean {
  return bytes.toString("latin1", at + 508, at + 512) === "tar\0";
}

/** Sums of the block's bytes: as they are, and with the checksum field taken as spaces. */
function sumBlock(bytes: Buffer, at: number): { all: number; unsigned: number } {
  let all = 0;
  const end = at + blockBytes;
  for (let index = at; index < end; index++) all += bytes[index] ?? 0;
  let stored = 0;
  for (let index = at + 148; index < at + 156; index++) stored += bytes[index] ?? 0;
  return { all, unsigned: all - stored + 8 * 0x20 };
}

/** Old tar programs summed signed chars. */
function signedSum(bytes: Buffer, at: number): number {
  let sum = 8 * 0x20;
  for (let index = 0; index < blockBytes; index++) {
    if (index < 148 || index >= 156) sum += ((bytes[at + index] ?? 0) << 24) >> 24;
  }
  return sum;
}
