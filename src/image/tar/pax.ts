/** PAX extended headers: records of `LENGTH KEY=VALUE`, and what the keys that matter to layers say. */
import { byteStringFromBytes, type ByteString } from "#base/byte-string.ts";
import type { Fault, Xattr } from "./header.ts";

/** What one PAX header says; absent fields leave the entry's own. */
export interface PaxFields {
  path?: ByteString;
  linkPath?: ByteString;
  size?: number;
  uid?: number;
  gid?: number;
  seconds?: number;
  nanos?: number;
  xattrs?: Map<ByteString, Uint8Array>;
  sparse?: PaxSparse;
}

/** The GNU.sparse.* keys. Formats 0.0 and 0.1 carry the map here, 1.0 in front of the data. */
export interface PaxSparse {
  major?: number;
  minor?: number;
  name?: ByteString;
  realSize?: number;
  segmentCount?: number;
  /** Offset and length, alternating. */
  readonly map: number[];
}

/** The largest id: 2^32-1 is (uid_t)-1, which means "leave it" to chown(). */
export const maxId = 2 ** 32 - 2;

/**
 * Parses the payload of an `x` or `g` header. Unknown keys are ignored; of a key given twice the later one holds.
 *
 * @throws what `fault` makes, for records that are malformed and values that cannot be used.
 */
export function parsePaxRecords(bytes: Buffer, fault: Fault): PaxFields {
  const fields: PaxFields = {};
  let at = 0;
  while (at < bytes.length) {
    const record = recordAt(bytes, at, fault);
    applyRecord(
      fields,
      { key: byteStringFromBytes(bytes, record.start, record.equals), value: bytes.subarray(record.equals + 1, record.end) },
      fault,
    );
    at = record.end + 1;
  }
  return fields;
}

/** The extended attributes in the order of their first mention. */
export function listXattrs(fields: PaxFields): Xattr[] {
  return fields.xattrs === undefined ? [] : Array.from(fields.xattrs, ([name, value]) => ({ name, value }));
}

/** Bounds of the record at `at`: `end` is its line feed. */
function recordAt(bytes: Buffer, at: number, fault: Fault): { start: number; equals: number; end: number } {
  let length = 0;
  let start = at;
  for (; start < bytes.length && start < at + 8; start++) {
    const digit = (bytes[start] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) break;
    length = length * 10 + digit;
  }
  const end = at + length - 1;
  if (start === at || bytes[start] !== 0x20 || end <= start || end >= bytes.length || bytes[end] !== 0x0a) {
    throw fault("its PAX header has a record whose length is wrong");
  }
  const equals = bytes.indexOf(0x3d, start + 1);
  if (equals < 0 || equals > end || equals === start + 1) throw fault("its PAX header has a record without a key");
  return { start: start + 1, equals, end };
}

const schilyXattr = "SCHILY.xattr.";
const libarchiveXattr = "LIBARCHIVE.xattr.";

function applyRecord(fields: PaxFields, record: { key: ByteString; value: Buffer }, fault: Fault): void {
  const { key, value } = record;
  if (key.startsWith(schilyXattr))
    return setXattr(fields, { name: key.slice(schilyXattr.length) as ByteString, value: Buffer.from(value) }, fault);
  if (key.startsWith(libarchiveXattr)) return setXattr(fields, decodeLibarchiveXattr(key, value, fault), fault);
  if (key.startsWith("GNU.sparse.")) return applySparse((fields.sparse ??= { map: [] }), record, fault);
  // An empty value takes the record back, so the header's own value holds. SPEC: POSIX pax, "extended header".
  const absent = value.length === 0;
  switch (key as string) {
    case "path":
      return assign(fields, "path", absent ? undefined : name(value, "name", fault));
    case "linkpath":
      return assign(fields, "linkPath", absent ? undefined : name(value, "link target", fault));
    case "size":
      return assign(fields, "size", absent ? undefined : decimal(value, "size", fault));
    case "uid":
      return assign(fields, "uid", absent ? undefined : decimal(value, "owner", fault));
    case "gid":
      return assign(fields, "gid", absent ? undefined : decimal(value, "group", fault));
    case "mtime": {
      const time = absent ? undefined : parsePaxTime(value.toString("latin1"));
      if (time === undefined && !absent) throw fault("its PAX time is not a number that can be used");
      assign(fields, "seconds", time?.seconds);
      return assign(fields, "nanos", time?.nanos);
    }
    default:
  }
}

function assign<K extends keyof PaxFields>(fields: PaxFields, key: K, value: PaxFields[K] | undefined): void {
  if (value === undefined) delete fields[key];
  else fields[key] = value;
}

/** A name without NUL: what the kernel would see must be what was checked. */
function name(value: Buffer, what: string, fault: Fault): ByteString {
  if (value.includes(0)) throw fault(`its PAX ${what} contains a NUL byte`);
  return byteStringFromBytes(value);
}

function decimal(value: Buffer, what: string, fault: Fault): number {
  const text = value.toString("latin1", 0, 32);
  const number = /^[0-9]{1,20}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(number))
    throw fault(`its PAX ${what} "${text.replace(/[^\x20-\x7e]/g, "?")}" is not a number that can be used`);
  return number;
}

/**
 * Parses a decimal time with any number of fraction digits, rounding down (also before 1970) to nanoseconds.
 *
 * @returns undefined when it is not one or its seconds are no safe integer.
 */
export function parsePaxTime(text: string): { seconds: number; nanos: number } | undefined {
  const match = /^(-?)([0-9]{1,20})(?:\.([0-9]*))?$/.exec(text);
  if (match === null) return undefined;
  const whole = Number(match[2]);
  const fraction = match[3] ?? "";
  const nanos = Number(fraction.slice(0, 9).padEnd(9, "0"));
  if (!Number.isSafeInteger(whole)) return undefined;
  if (match[1] === "") return { seconds: whole, nanos };
  // -1.25 is 0.75 s after -2. A rest beyond nanoseconds rounds away from 0 here: down, as for later times.
  const below = nanos + (/[1-9]/.test(fraction.slice(9)) ? 1 : 0);
  if (below === 0) return { seconds: whole === 0 ? 0 : -whole, nanos: 0 };
  return { seconds: -whole - 1, nanos: 1_000_000_000 - below };
}

function setXattr(fields: PaxFields, xattr: Xattr, fault: Fault): void {
  if (xattr.name === "" || xattr.name.includes("\0")) throw fault("it has an extended attribute without a usable name");
  (fields.xattrs ??= new Map()).set(xattr.name, xattr.value);
}

/** libarchive's form: the name URL-encoded, the value base64 without padding. */
function decodeLibarchiveXattr(key: ByteString, value: Buffer, fault: Fault): Xattr {
  const encoded = value.toString("latin1");
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(encoded)) throw fault("it has an extended attribute that is not base64");
  const text = key
    .slice(libarchiveXattr.length)
    .replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return { name: text as ByteString, value: Buffer.from(encoded, "base64") };
}

function applySparse(sparse: PaxSparse, record: { key: ByteString; value: Buffer }, fault: Fault): void {
  const { key, value } = record;
  const number = (): number => decimal(value, key, fault);
  switch (key.slice("GNU.sparse.".length)) {
    case "major":
      sparse.major = number();
      break;
    case "minor":
      sparse.minor = number();
      break;
    case "name":
      sparse.name = name(value, "name", fault);
      break;
    case "size":
    case "realsize":
      sparse.realSize = number();
      break;
    case "numblocks":
      sparse.segmentCount = number();
      break;
    case "offset":
      if (sparse.map.length % 2 !== 0) throw fault("its sparse map has an offset without a length");
      sparse.map.push(number());
      break;
    case "numbytes":
      if (sparse.map.length % 2 !== 1) throw fault("its sparse map has a length without an offset");
      sparse.map.push(number());
      break;
    case "map":
      sparse.map.splice(0);
      for (const part of value.toString("latin1").split(",")) sparse.map.push(decimal(Buffer.from(part, "latin1"), "sparse map", fault));
      break;
    default:
  }
}

/** One record, its length included in itself. */
export function formatPaxRecord(key: string, value: Uint8Array | string): Buffer {
  if (typeof value === "string") return byteStringBuffer(formatPaxText(key, value));
  const head = ` ${key}=`;
  return Buffer.concat([byteStringBuffer(`${lengthOf(head.length + value.length + 1)}${head}`), value, byteStringBuffer("\n")]);
}

/** `formatPaxRecord` of text, as a byte string. */
export function formatPaxText(key: string, value: string): string {
  return `${lengthOf(key.length + value.length + 3)} ${key}=${value}\n`;
}

/** The length of a record that has `rest` bytes after its length. */
function lengthOf(rest: number): number {
  let length = rest;
  while (rest + String(length).length !== length) length = rest + String(length).length;
  return length;
}

function byteStringBuffer(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/** Formats a time as PAX has it, without trailing zeros: the inverse of `parsePaxTime`. */
export function formatPaxTime(seconds: number, nanos: number): string {
  if (nanos === 0) return String(seconds);
  const negative = seconds < 0;
  const whole = negative ? -seconds - 1 : seconds;
  const fraction = negative ? 1_000_000_000 - nanos : nanos;
  return `${negative ? "-" : ""}${whole}.${String(fraction).padStart(9, "0").replace(/0+$/, "")}`;
}
