/**
 * Packing: a changeset becomes the archive of a layer, deterministically. Equal changes give equal bytes, on any machine.
 *
 * An archive has the directories on the way to each change, whether they changed or not: what applies a layer may put it in an empty directory
 * first, and a directory without an entry would then be 0755 and root's.
 */
import { displayByteString, type ByteString } from "#base/byte-string.ts";
import { CodedError } from "#base/errors.ts";
import { betweenPhases } from "#base/memory.ts";
import type { Op } from "#program/ops.gen.ts";
import type { TarHeader } from "../tar/header.ts";
import { TarHeaderEncoder, tarEndBytes, tarPaddingBytes } from "../tar/write.ts";
import { changedMeanwhile, parentOf, type Change, type Changeset } from "../tree/change.ts";
import { isAsListed, readEntry, recordKinds, type ListedEntry } from "../tree/listing.ts";
import { survey, type Place, type SurveyVisitor } from "../tree/survey.ts";
import { isIgnoredXattr } from "./xattrs.ts";

/** What is packed and how. */
export interface Packing {
  readonly changes: Changeset;
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

/** One member of the archive: its header's bytes, valid until the next one is asked for, and the file whose data comes after them. */
interface Member {
  readonly head: Buffer;
  readonly file?: FileMember;
}

type FileMember = Exclude<Change, { readonly kind: "deleted" }>;

/**
 * The archive, in chunks that hold their bytes only until the next one is asked for. Headers are made when their turn comes, and data passes
 * through: memory does not grow with the layer.
 *
 * @throws CodedError `invalid-argument` for a name that a layer cannot hold; `wrong-state` when a file changed since it was listed
 */
export async function* packChanges(packing: Packing): AsyncGenerator<Uint8Array, void, undefined> {
  const { changes, nameIn = (path: ByteString): ByteString => path } = packing;
  let isData = false;
  for (const change of changes) {
    if (change.kind === "deleted" || change.entry.name.startsWith(reservedPrefix)) requireStorable(change.path);
    isData ||= hasData(change);
  }
  betweenPhases();
  const batch = new Batch();
  const packer = new Packer(membersOf(packing), batch);
  const ops = {
    *[Symbol.iterator](): Generator<Op, void, undefined> {
      for (const change of changes) if (hasData(change)) yield { op: "send-file", path: nameIn(change.path) };
    },
  };
  if (isData) for await (const _ of survey(packing.place, ops, packer)) yield* batch.full();
  packer.end();
  batch.add(Buffer.alloc(tarEndBytes));
  yield* batch.rest();
}

function hasData(change: Change): change is FileMember {
  return change.kind !== "deleted" && change.linkTo === undefined && change.entry.kind === "file" && change.entry.size > 0;
}

/** Joins small pieces to chunks: each chunk passes through five generators, which costs more than a copy of a small one. */
class Batch {
  readonly #free: Buffer[] = [];
  #open: Buffer = Buffer.allocUnsafeSlow(batchBytes);
  #length = 0;
  #ready: { readonly bytes: Uint8Array; readonly own?: Buffer }[] = [];

  /** Large ones are passed on as they are: they must not change before they are taken. */
  add(bytes: Uint8Array): void {
    if (this.#length + bytes.length > batchBytes || bytes.length >= batchBytes / 2) this.#close();
    if (bytes.length >= batchBytes / 2) {
      this.#ready.push({ bytes });
      return;
    }
    this.#open.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** What is complete; the memory of each is used again when the next one is asked for. */
  *full(): Generator<Uint8Array, void, undefined> {
    for (const { bytes, own } of this.#ready) {
      yield bytes;
      if (own !== undefined) this.#free.push(own);
    }
    this.#ready = [];
  }

  /** All that there is. */
  *rest(): Generator<Uint8Array, void, undefined> {
    this.#close();
    yield* this.full();
  }

  #close(): void {
    if (this.#length === 0) return;
    this.#ready.push({ bytes: this.#open.subarray(0, this.#length), own: this.#open });
    this.#open = this.#free.pop() ?? Buffer.allocUnsafeSlow(batchBytes);
    this.#length = 0;
  }
}

const batchBytes = 64 << 10;

/** Puts members together with the data that comes back. */
class Packer implements SurveyVisitor {
  readonly #members: Iterator<Member, void>;
  readonly #out: Batch;
  /** The file that is awaited or under way, and how much of it was written. */
  #file: FileMember | undefined;
  #head: Buffer | undefined;
  #written = 0;

  constructor(members: Iterator<Member, void>, out: Batch) {
    this.#members = members;
    this.#out = out;
  }

  record(kind: number, bytes: Buffer, at: number): void {
    this.#advance();
    const file = this.#file;
    if (file === undefined) throw new CodedError("internal", "the executor sent a file that nobody asked for");
    if (!isAsListed(readEntry(bytes, at), file.entry)) throw changedMeanwhile(`"${displayByteString(file.path)}"`);
    if (kind === recordKinds.dataBegins) {
      if (this.#head !== undefined) this.#out.add(this.#head);
      this.#written = 0;
      return;
    }
    const { size } = file.entry;
    this.#zeros(size - this.#written + tarPaddingBytes(size));
    this.#file = undefined;
  }

  data(bytes: Buffer, offset: number): void {
    this.#zeros(offset - this.#written);
    this.#out.add(bytes);
    this.#written = offset + bytes.length;
  }

  end(): void {
    this.#advance();
    if (this.#file !== undefined) throw new CodedError("internal", "the executor did not send every file");
  }

  /** Writes members up to the next one that has data. */
  #advance(): void {
    while (this.#file === undefined) {
      const { value: member, done } = this.#members.next();
      if (done === true || member === undefined) return;
      if (member.file === undefined) this.#out.add(member.head);
      else [this.#file, this.#head] = [member.file, member.head];
    }
  }

  /** SPEC: layer.md: sparse files should not be used in layers, so holes are written out. */
  #zeros(size: number): void {
    for (let left = size; left > 0; left -= zeros.length) this.#out.add(left >= zeros.length ? zeros : zeros.subarray(0, left));
  }
}

const zeros = Buffer.alloc(256 << 10);

function* membersOf(packing: Packing): Generator<Member, void, undefined> {
  const present = new Set<ByteString>();
  const encoder = new TarHeaderEncoder();
  for (const change of packing.changes) {
    requireStorable(change.path);
    for (const parent of missingParents(change.path, present)) {
      const entry = packing.directory(parent);
      if (entry === undefined) throw changedMeanwhile(`"${displayByteString(parent)}"`);
      yield { head: encoder.lend(headerOf(packing, { path: parent, entry })) };
    }
    if (change.kind === "deleted") {
      yield { head: encoder.lend(whiteout(change.path, packing.latestSeconds)) };
      continue;
    }
    if (change.entry.kind === "directory") present.add(change.path);
    const head = encoder.lend(headerOf(packing, change));
    yield hasData(change) ? { head, file: change } : { head };
  }
}

/** Directories on the way to `path` that have no member yet, which they get: the first leads to the others. */
function missingParents(path: ByteString, present: Set<ByteString>): ByteString[] {
  const missing: ByteString[] = [];
  for (let parent = parentOf(path); parent !== undefined && parent !== "" && !present.has(parent); parent = parentOf(parent)) {
    missing.push(parent);
    present.add(parent);
  }
  return missing.reverse();
}

const reservedPrefix = ".wh.";

/** SPEC: layer.md#whiteouts: no name that begins with .wh. can be stored. */
function requireStorable(path: ByteString): void {
  if (path.startsWith(reservedPrefix) || path.includes(`/${reservedPrefix}`))
    throw new CodedError(
      "invalid-argument",
      `cannot pack "${displayByteString(path)}": in a layer a name that begins with .wh. means that something is deleted`,
    );
}

function whiteout(path: ByteString, latestSeconds: number | undefined): TarHeader {
  const slash = path.lastIndexOf("/") + 1;
  return {
    ...plain,
    kind: "file",
    path: `${path.slice(0, slash)}.wh.${path.slice(slash)}` as ByteString,
    mode: 0o600,
    seconds: Math.max(0, Math.min(0, latestSeconds ?? 0)),
  };
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

function headerOf(packing: Packing, { path, entry, linkTo }: { path: ByteString; entry: ListedEntry; linkTo?: ByteString }): TarHeader {
  const { uid, gid } = packing.ownerOf?.(entry) ?? entry;
  const isLate = packing.latestSeconds !== undefined && entry.seconds >= packing.latestSeconds;
  const shared = {
    path: path === "" ? ("./" as ByteString) : path,
    mode: entry.mode,
    uid,
    gid,
    seconds: isLate ? packing.latestSeconds : entry.seconds,
    nanos: isLate ? 0 : entry.nanos,
    xattrs: linkTo === undefined && entry.xattrs.length > 0 ? entry.xattrs.filter(({ name }) => !isIgnoredXattr(name)) : [],
  };
  return { ...plain, ...shared, ...ownFields(path, entry, linkTo) };
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
