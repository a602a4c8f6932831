/**
 * Writing tar, deterministically: equal headers give equal bytes.
 *
 * ustar where its fields suffice, with a PAX header before it where they do not. No user names, access times or
 * process ids: nothing that differs between two machines that pack the same tree.
 */
import { isUtf8 } from "node:buffer";
import type { ByteString } from "#base/byte-string.ts";
import { CodedError } from "#base/errors.ts";
import { blockBytes, typeFlags, type TarHeader } from "./header.ts";
import { formatPaxRecord, formatPaxText, formatPaxTime } from "./pax.ts";

/** What ends an archive: two blocks of zeros. */
export const tarEndBytes: number = 2 * blockBytes;

/** How many zero bytes follow a file of `size` bytes. */
export function tarPaddingBytes(size: number): number {
  return -size & (blockBytes - 1);
}

/**
 * The blocks in front of an entry's data. Only files have data: `size` bytes and their padding follow.
 *
 * @throws CodedError `invalid-argument` for a name that tar cannot hold
 */
export function encodeTarHeader(header: TarHeader): Buffer {
  return Buffer.from(new TarHeaderEncoder().lend(header));
}

/** Encodes header after header in the same memory: an archive has many. */
export class TarHeaderEncoder {
  #bytes: Buffer = Buffer.allocUnsafeSlow(4 * blockBytes);

  /** As `encodeTarHeader`, valid until the next call. */
  lend(header: TarHeader): Buffer {
    const path = header.kind === "directory" && !header.path.endsWith("/") ? ((header.path + "/") as ByteString) : header.path;
    requireWithoutNul(path);
    requireWithoutNul(header.linkPath);
    const split = splitPath(path);
    const extended = this.#extended(header, path, split === undefined);
    const [prefix, name] = split ?? ["", path.slice(0, 100)];
    const fields = { prefix, name, flag: typeFlags[header.kind], size: header.kind === "file" ? header.size : 0 };
    fillBlock(this.#bytes.subarray(extended, extended + blockBytes), header, fields);
    return this.#bytes.subarray(0, extended + blockBytes);
  }

  /** Writes the extended header, if one is needed, and leaves room for a block; the length of what it has written. */
  #extended(header: TarHeader, path: ByteString, longPath: boolean): number {
    const records = paxRecordsFor(header, path, longPath);
    if (records.length === 0) return 0;
    const size = records.reduce((sum, record) => sum + record.length, 0);
    const length = blockBytes + size + tarPaddingBytes(size);
    if (this.#bytes.length < length + blockBytes) this.#bytes = Buffer.allocUnsafeSlow(2 * (length + blockBytes));
    const bytes = this.#bytes;
    const name = `PaxHeaders/${baseName(path)}`.slice(0, 100);
    fillBlock(bytes.subarray(0, blockBytes), metaHeader, { prefix: "", name, flag: typeFlags.pax, size });
    let at = blockBytes;
    for (const record of records) {
      if (typeof record === "string") bytes.write(record, at, "latin1");
      else bytes.set(record, at);
      at += record.length;
    }
    bytes.fill(0, at, length);
    return length;
  }
}

function requireWithoutNul(name: ByteString): void {
  if (!name.includes("\0")) return;
  throw new CodedError("invalid-argument", `cannot write tar entry ${JSON.stringify(name)}: its name contains a NUL byte`);
}

const metaHeader = { mode: 0o644, uid: 0, gid: 0, seconds: 0, linkPath: "", major: 0, minor: 0 };

const largestId = 0o7777777;
const largestSize = 0o77777777777;

function paxRecordsFor(header: TarHeader, path: ByteString, longPath: boolean): (string | Buffer)[] {
  const records: (string | Buffer)[] = [];
  const longLink = header.linkPath.length > 100;
  // SPEC: POSIX pax: names in records are UTF-8 unless this says that they are plain bytes.
  if ((longPath || longLink) && !isUtf8(Buffer.from(`${longPath ? path : ""}${longLink ? header.linkPath : ""}`, "latin1")))
    records.push(formatPaxText("hdrcharset", "BINARY"));
  if (longPath) records.push(formatPaxText("path", path));
  if (longLink) records.push(formatPaxText("linkpath", header.linkPath));
  if (header.kind === "file" && header.size > largestSize) records.push(formatPaxText("size", String(header.size)));
  if (header.uid > largestId) records.push(formatPaxText("uid", String(header.uid)));
  if (header.gid > largestId) records.push(formatPaxText("gid", String(header.gid)));
  if (header.nanos !== 0 || header.seconds < 0 || header.seconds > largestSize) {
    records.push(formatPaxText("mtime", formatPaxTime(header.seconds, header.nanos)));
  }
  if (header.xattrs.length === 0) return records;
  for (const xattr of header.xattrs.toSorted((a, b) => (a.name < b.name ? -1 : 1))) records.push(xattrRecord(xattr.name, xattr.value));
  return records;
}

/** A key ends at its first "=", so a name that holds one needs libarchive's form, which encodes it. */
function xattrRecord(name: ByteString, value: Uint8Array): Buffer {
  if (!name.includes("=")) return formatPaxRecord(`SCHILY.xattr.${name}`, value);
  const encoded = name.replace(/[%=]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  return formatPaxRecord(`LIBARCHIVE.xattr.${encoded}`, Buffer.from(value).toString("base64"));
}

/** The ustar prefix and name for `path`, split at a slash; undefined when it does not fit. */
function splitPath(path: ByteString): [prefix: string, name: string] | undefined {
  if (path.length <= 100) return ["", path];
  if (path.length > 256) return undefined;
  // The slash between them is not stored; the name must not be empty, so a final slash does not count.
  const at = path.indexOf("/", path.length - 101);
  return at <= 0 || at > 155 || at === path.length - 1 ? undefined : [path.slice(0, at), path.slice(at + 1)];
}

function baseName(path: ByteString): string {
  const trimmed = path.replace(/\/+$/, "");
  return trimmed.slice(trimmed.lastIndexOf("/") + 1);
}

function fillBlock(
  block: Buffer,
  header: Pick<TarHeader, "mode" | "uid" | "gid" | "seconds" | "major" | "minor"> & { readonly linkPath: string },
  own: { prefix: string; name: string; flag: number; size: number },
): void {
  // The last byte of a field ends the digits and stays as it is.
  const octal = (value: number, start: number, length: number): void => {
    // What does not fit is told by PAX: 0 here.
    let rest = value < 0 || value >= 8 ** (length - 1) ? 0 : value;
    for (let at = start + length - 2; at >= start; at--) {
      block[at] = 0x30 + (rest % 8);
      rest = Math.floor(rest / 8);
    }
  };
  block.fill(0);
  block.write(own.name, 0, 100, "latin1");
  octal(header.mode, 100, 8);
  octal(header.uid, 108, 8);
  octal(header.gid, 116, 8);
  octal(own.size, 124, 12);
  octal(header.seconds, 136, 12);
  block.fill(0x20, 148, 156);
  block[156] = own.flag;
  if (header.linkPath !== "") block.write(header.linkPath, 157, 100, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  octal(header.major, 329, 8);
  octal(header.minor, 337, 8);
  if (own.prefix !== "") block.write(own.prefix, 345, 155, "latin1");
  let sum = 0;
  for (let at = 0; at < blockBytes; at++) sum += block[at] ?? 0;
  // SPEC: POSIX ustar: six digits, a NUL and a space, which is there already.
  octal(sum, 148, 7);
  block[154] = 0;
}
