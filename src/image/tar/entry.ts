/** Joins a header block with the extended headers before it into one entry. */
import type { ByteString } from "#base/byte-string.ts";
import { typeFlags, type EntryKind, type Fault, type HeaderFields, type TarHeader } from "./header.ts";
import { listXattrs, maxId, type PaxFields } from "./pax.ts";

/** PATH_MAX without its NUL: no system call takes a longer name. */
export const maxPathBytes = 4095;

/** What meta headers have said about the next entry. */
export interface PendingHeaders {
  local?: PaxFields;
  global?: PaxFields;
  longName?: ByteString;
  longLink?: ByteString;
}

const kinds: ReadonlyMap<number, EntryKind> = new Map<number, EntryKind>([
  [typeFlags.oldFile, "file"],
  [typeFlags.file, "file"],
  [typeFlags.contiguous, "file"],
  [typeFlags.gnuSparse, "file"],
  [typeFlags.hardlink, "hardlink"],
  [typeFlags.symlink, "symlink"],
  [typeFlags.character, "character"],
  [typeFlags.block, "block"],
  [typeFlags.directory, "directory"],
  [typeFlags.fifo, "fifo"],
]);

/** The name the next entry will have: for its errors too. */
export function entryPath(fields: HeaderFields, pending: PendingHeaders): ByteString {
  // A name of the sparse format outranks all: there `path` is a made-up one for readers that know nothing of it.
  return pending.local?.sparse?.name ?? pending.longName ?? pending.local?.path ?? fields.path;
}

/** Bytes stored after the header of this entry. */
export function storedBytes(fields: HeaderFields, pending: PendingHeaders): number {
  return pending.local?.size ?? fields.size;
}

/**
 * The entry of `fields`; for a file, `size` is what is stored, or the sparse file's real size where PAX tells it.
 *
 * @throws what `fault` makes
 */
export function resolveEntry(fields: HeaderFields, pending: PendingHeaders, fault: Fault): TarHeader {
  const { local, global } = pending;
  const kind = kindOf(fields, pending, fault);
  const path = entryPath(fields, pending);
  const isLink = kind === "hardlink" || kind === "symlink";
  const linkPath = isLink ? (pending.longLink ?? local?.linkPath ?? fields.linkPath) : ("" as ByteString);
  if (path === "") throw fault("it has no name", "invalid-spec");
  if (path.length > maxPathBytes) throw fault(`its name has ${path.length} bytes, more than ${maxPathBytes}`, "invalid-spec");
  if (linkPath.length > maxPathBytes)
    throw fault(`its link target has ${linkPath.length} bytes, more than ${maxPathBytes}`, "invalid-spec");
  const device = kind === "character" || kind === "block" ? deviceOf(fields, fault) : noDevice;
  const time = timeOf(fields, pending);
  return {
    kind,
    path,
    linkPath,
    mode: modeOf(fields, fault),
    uid: idOf(local?.uid ?? global?.uid ?? fields.uid, "owner", fault),
    gid: idOf(local?.gid ?? global?.gid ?? fields.gid, "group", fault),
    size: kind === "file" ? (local?.sparse?.realSize ?? storedBytes(fields, pending)) : 0,
    seconds: time.seconds,
    nanos: time.nanos,
    major: device.major,
    minor: device.minor,
    xattrs: local?.xattrs === undefined ? noXattrs : listXattrs(local),
  };
}

const noXattrs: TarHeader["xattrs"] = [];
const noDevice = { major: 0, minor: 0 };

function kindOf(fields: HeaderFields, pending: PendingHeaders, fault: Fault): EntryKind {
  // v7 had no flag for directories, only the slash. Go and GNU tar agree on this for the old flag.
  if (fields.flag === typeFlags.oldFile && entryPath(fields, pending).endsWith("/")) return "directory";
  const kind = kinds.get(fields.flag);
  if (kind === undefined)
    throw fault(`its type ${JSON.stringify(String.fromCharCode(fields.flag))} is not one that layers have`, "unsupported");
  return kind;
}

function modeOf(fields: HeaderFields, fault: Fault): number {
  if (fields.mode < 0) throw fault(`its mode is ${fields.mode}`);
  // Some writers put the S_IF* bits here too; the kind is said by the type flag.
  return fields.mode % 0o10000;
}

function idOf(id: number, what: string, fault: Fault): number {
  if (id < 0 || id > maxId) throw fault(`its ${what} ${id} is not between 0 and ${maxId}`, "invalid-spec");
  return id;
}

/** KERNEL: mknod() takes 12 bits of major and 20 of minor number (include/linux/kdev_t.h). */
function deviceOf(fields: HeaderFields, fault: Fault): { major: number; minor: number } {
  const device = fields.device();
  if (device.major < 0 || device.major >= 1 << 12 || device.minor < 0 || device.minor >= 1 << 20) {
    throw fault(`its device number ${device.major}:${device.minor} is not one that Linux has`, "invalid-spec");
  }
  return device;
}

function timeOf(fields: HeaderFields, pending: PendingHeaders): { seconds: number; nanos: number } {
  const source = pending.local?.seconds === undefined ? pending.global : pending.local;
  if (source?.seconds === undefined) return { seconds: fields.seconds, nanos: 0 };
  return { seconds: source.seconds, nanos: source.nanos ?? 0 };
}
