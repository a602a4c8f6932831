/**
 * Packing: a changeset becomes the archive of a layer, deterministically. Equal changes give equal bytes, on any machine.
 *
 * An archive has the directories on the way to each change, whether they changed or not: what applies a layer may put it in an empty directory
 * first, and a directory without an entry would then be 0755 and root's.
 */
import { displayByteString, type ByteString } from "#base/byte-string.ts";
import { CodedError } from "#base/errors.ts";
import type { Op } from "#program/ops.gen.ts";
import type { TarHeader } from "../tar/header.ts";
import { encodeTarHeader, tarEndBytes, tarPaddingBytes } from "../tar/write.ts";
import { changedMeanwhile, parentOf, type Change } from "../tree/change.ts";
import { isAsListed, readEntry, recordKinds, type ListedEntry } from "../tree/listing.ts";
import { survey, type Place, type SurveyVisitor } from "../tree/survey.ts";
import { isIgnoredXattr } from "./xattrs.ts";

/** What is packed and how. */
export interface Packing {
  /** In the order of `sortChanges`. */
  readonly changes: readonly Change[];
  /** The directory `path` as it is now; for those on the way to a change. */
  readonly directory: (path: ByteString) => ListedEntry | undefined;
  /** Where files are read, and what they are called there. */
  readonly place: Place;
  readonly nameIn?: (path: ByteString) => ByteString;
  /** Times after this one become this one (SOURCE_DATE_EPOCH), in seconds since 1970. */
  readonly latestSeconds?: number;
  /** Which owner of the layer an owner in the tree stands for. */
  readonly ownerOf?: (entry: ListedEntry) => { readonly uid: number; readonly gid: number };
}

/** One member of the archive: its header's bytes now, or the file whose data comes after them. */
type Member = { readonly head: Buffer; readonly file?: undefined } | { readonly head: Buffer; readonly file: FileMember };

interface FileMember {
  readonly path: ByteString;
  readonly entry: ListedEntry;
}

/**
 * The archive, in chunks. Nothing is yielded but whole reads of the executor's output, so memory does not grow with the layer.
 *
 * @throws CodedError `invalid-argument` for a name that a layer cannot hold; `wrong-state` when a file changed since it was listed
 */
export async function* packChanges(packing: Packing): AsyncGenerator<Uint8Array, void, undefined> {
  const members = listMembers(packing);
  const files = members.flatMap(({ file }) => (file === undefined ? [] : [file]));
  const out: Uint8Array[] = [];
  const packer = new Packer(members, (bytes) => out.push(bytes));
  const nameIn = packing.nameIn ?? ((path: ByteString): ByteString => path);
  if (files.length > 0) {
    const ops = files.map(({ path }): Op => ({ op: "send-file", path: nameIn(path) }));
    for await (const _ of survey(packing.place, ops, packer)) yield* out.splice(0);
  }
  packer.end();
  yield* out;
  yield Buffer.alloc(tarEndBytes);
}

/** Puts members together with the data that comes back. */
class Packer implements SurveyVisitor {
  readonly #members: readonly Member[];
  readonly #out: (bytes: Uint8Array) => void;
  #at = 0;
  /** How much of the file under way was written. */
  #written = 0;

  constructor(members: readonly Member[], out: (bytes: Uint8Array) => void) {
    this.#members = members;
    this.#out = out;
  }

  /** Writes members up to the next one that has data. */
  advance(): FileMember | undefined {
    for (; this.#at < this.#members.length; this.#at++) {
      const member = this.#members[this.#at];
      if (member?.file !== undefined) return member.file;
      if (member !== undefined) this.#out(member.head);
    }
    return undefined;
  }

  record(kind: number, bytes: Buffer, at: number): void {
    const file = this.advance();
    if (file === undefined) throw new CodedError("internal", "the executor sent a file that nobody asked for");
    const found = readEntry(bytes, at);
    if (!isAsListed(found, file.entry)) throw changedMeanwhile(`"${displayByteString(file.path)}"`);
    if (kind === recordKinds.dataBegins) {
      this.#out(this.#members[this.#at]?.head ?? Buffer.alloc(0));
      this.#written = 0;
      return;
    }
    this.#zeros(file.entry.size - this.#written + tarPaddingBytes(file.entry.size));
    this.#at++;
  }

  data(bytes: Buffer, offset: number): void {
    this.#zeros(offset - this.#written);
    this.#out(bytes);
    this.#written = offset + bytes.length;
  }

  end(): void {
    if (this.advance() !== undefined) throw new CodedError("internal", "the executor did not send every file");
  }

  /** SPEC: layer.md: sparse files should not be used in layers, so holes are written out. */
  #zeros(size: number): void {
    for (let left = size; left > 0; left -= zeros.length) this.#out(left >= zeros.length ? zeros : zeros.subarray(0, left));
  }
}

const zeros = Buffer.alloc(256 << 10);

function listMembers(packing: Packing): Member[] {
  const members: Member[] = [];
  const present = new Set<ByteString>();
  const addParents = (path: ByteString): void => {
    const missing: ByteString[] = [];
    for (let parent = parentOf(path); parent !== undefined && parent !== "" && !present.has(parent); parent = parentOf(parent)) {
      missing.push(parent);
      present.add(parent);
    }
    for (const parent of missing.reverse()) {
      const entry = packing.directory(parent);
      if (entry === undefined) throw changedMeanwhile(`"${displayByteString(parent)}"`);
      members.push({ head: headOf(packing, { path: parent, entry }) });
    }
  };
  for (const change of packing.changes) {
    requireStorable(change.path);
    addParents(change.path);
    if (change.kind === "deleted") {
      members.push({ head: whiteout(change.path, packing.latestSeconds) });
      continue;
    }
    present.add(change.path);
    const head = headOf(packing, change);
    const { path, entry } = change;
    members.push(entry.kind === "file" && entry.size > 0 && change.linkTo === undefined ? { head, file: { path, entry } } : { head });
  }
  return members;
}

/** SPEC: layer.md#whiteouts: no name that begins with .wh. can be stored. */
function requireStorable(path: ByteString): void {
  if (path.startsWith(".wh.") || path.includes("/.wh."))
    throw new CodedError(
      "invalid-argument",
      `cannot pack "${displayByteString(path)}": in a layer a name that begins with .wh. means that something is deleted`,
    );
}

function whiteout(path: ByteString, latestSeconds: number | undefined): Buffer {
  const slash = path.lastIndexOf("/") + 1;
  return encodeTarHeader({
    ...plain,
    kind: "file",
    path: `${path.slice(0, slash)}.wh.${path.slice(slash)}` as ByteString,
    mode: 0o600,
    seconds: Math.max(0, Math.min(0, latestSeconds ?? 0)),
  });
}

const plain = {
  linkPath: "" as ByteString,
  mode: 0,
  uid: 0,
  gid: 0,
  size: 0,
  seconds: 0,
  nanos: 0,
  major: 0,
  minor: 0,
  xattrs: [],
} as const;

function headOf(packing: Packing, { path, entry, linkTo }: { path: ByteString; entry: ListedEntry; linkTo?: ByteString }): Buffer {
  const { uid, gid } = packing.ownerOf?.(entry) ?? entry;
  const isLate = packing.latestSeconds !== undefined && entry.seconds >= packing.latestSeconds;
  const shared = {
    path: path === "" ? ("./" as ByteString) : path,
    mode: entry.mode,
    uid,
    gid,
    seconds: isLate ? packing.latestSeconds : entry.seconds,
    nanos: isLate ? 0 : entry.nanos,
    xattrs: linkTo === undefined ? entry.xattrs.filter(({ name }) => !isIgnoredXattr(name)) : [],
  };
  return encodeTarHeader({ ...plain, ...shared, ...ownFields(path, entry, linkTo) });
}

function ownFields(
  path: ByteString,
  entry: ListedEntry,
  linkTo: ByteString | undefined,
): Pick<TarHeader, "kind" | "linkPath" | "size" | "major" | "minor"> {
  const none = { linkPath: "" as ByteString, size: 0, major: 0, minor: 0 };
  if (linkTo !== undefined) return { ...none, kind: "hardlink", linkPath: linkTo };
  switch (entry.kind) {
    case "file":
      return { ...none, kind: "file", size: entry.size };
    case "symlink":
      return { ...none, kind: "symlink", linkPath: entry.target };
    case "character":
    case "block":
      // KERNEL: overlayfs takes a character device 0:0 for a whiteout, so no layer that has one can be applied.
      if (entry.kind === "character" && entry.major === 0 && entry.minor === 0)
        throw new CodedError(
          "invalid-argument",
          `cannot pack "${displayByteString(path)}": it is a character device 0:0, which overlayfs takes for a whiteout`,
        );
      return { ...none, kind: entry.kind, major: entry.major, minor: entry.minor };
    case "directory":
    case "fifo":
      return { ...none, kind: entry.kind };
    case "socket":
      throw new CodedError("internal", "broken assumption: a changeset has no sockets");
  }
}
