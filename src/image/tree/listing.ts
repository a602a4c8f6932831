/**
 * What the executor writes of a tree (docs/program-format.md, "Records of trees"), read where it lies.
 *
 * A listing of a million files is some hundred megabytes of records and nothing else: entries become objects only where somebody
 * looks at them, and two directories that did not change are one comparison of bytes.
 */
import { byteStringFromBytes, type ByteString } from "#base/byte-string.ts";
import { CodedError } from "#base/errors.ts";
import type { EntryKind, Xattr } from "../tar/header.ts";

/** Bytes of a record before its name. */
export const recordHeadBytes = 96;

/** What a record is about. */
export const recordKinds = { entry: 1, directory: 2, absent: 3, dataBegins: 4, dataEnded: 5, compared: 6 } as const;

/** How much of an identity is the file system. */
const deviceBytes = 8;

/** One file as it was found. */
export interface ListedEntry {
  /** Its name in its directory; of a directory's own record, its path. */
  readonly name: ByteString;
  readonly kind: Exclude<EntryKind, "hardlink"> | "socket";
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** How many names it has. */
  readonly links: number;
  readonly major: number;
  readonly minor: number;
  /** File system and inode: equal for two names of one file. */
  readonly identity: string;
  readonly size: number;
  readonly seconds: number;
  readonly nanos: number;
  /** When its inode was last changed, which nobody can set: as it was written, to be compared. */
  readonly changedAt: string;
  /** Of a symbolic link, otherwise empty. */
  readonly target: ByteString;
  /** In the order of their names. */
  readonly xattrs: readonly Xattr[];
}

const kinds: ReadonlyMap<number, ListedEntry["kind"]> = new Map([
  [0o100000, "file"],
  [0o040000, "directory"],
  [0o120000, "symlink"],
  [0o020000, "character"],
  [0o060000, "block"],
  [0o010000, "fifo"],
  [0o140000, "socket"],
]);

/**
 * The record at `at` as an entry, which reads its fields where they lie: `bytes` must stay as they are while it is in use.
 *
 * @throws CodedError `corrupt`
 */
export function readEntry(bytes: Buffer, at: number): ListedEntry {
  return new RecordedEntry(bytes, at);
}

/** The name in the record at `at`. */
export function readName(bytes: Buffer, at: number): ByteString {
  const start = at + recordHeadBytes;
  return bytes.toString("latin1", start, start + bytes.readUInt16LE(at + 6)) as ByteString;
}

/** A tree has many entries, and most are looked at in one or two of their fields, once. */
class RecordedEntry implements ListedEntry {
  readonly kind: ListedEntry["kind"];
  readonly #bytes: Buffer;
  readonly #at: number;

  constructor(bytes: Buffer, at: number) {
    const mode = bytes.readUInt32LE(at + 8);
    const kind = kinds.get(mode & 0o170000);
    if (kind === undefined)
      throw new CodedError("corrupt", `cannot read a listing: there is no kind of file for the mode ${mode.toString(8)}`);
    this.kind = kind;
    this.#bytes = bytes;
    this.#at = at;
  }

  get name(): ByteString {
    return readName(this.#bytes, this.#at);
  }

  get mode(): number {
    return this.#number(8) & 0o7777;
  }

  get uid(): number {
    return this.#number(12);
  }

  get gid(): number {
    return this.#number(16);
  }

  get links(): number {
    return this.#number(20);
  }

  get major(): number {
    return this.#number(24);
  }

  get minor(): number {
    return this.#number(28);
  }

  get identity(): string {
    const [bytes, at] = [this.#bytes, this.#at];
    return bytes.toString("latin1", at + 32, at + 40) + bytes.toString("latin1", at + 48, at + 56);
  }

  get size(): number {
    return this.#number(40) + this.#number(44) * 2 ** 32;
  }

  get seconds(): number {
    return this.#number(56) + this.#bytes.readInt32LE(this.#at + 60) * 2 ** 32;
  }

  get nanos(): number {
    return this.#number(72);
  }

  get changedAt(): string {
    const [bytes, at] = [this.#bytes, this.#at];
    return bytes.toString("latin1", at + 64, at + 72) + bytes.toString("latin1", at + 76, at + 80);
  }

  get target(): ByteString {
    return this.#bytes.toString("latin1", this.#nameEnd, this.#targetEnd) as ByteString;
  }

  get xattrs(): readonly Xattr[] {
    const length = this.#number(84);
    return length === 0 ? noXattrs : readXattrs(this.#bytes, this.#targetEnd, this.#targetEnd + length);
  }

  get #nameEnd(): number {
    return this.#at + recordHeadBytes + this.#bytes.readUInt16LE(this.#at + 6);
  }

  get #targetEnd(): number {
    return this.#nameEnd + this.#number(80);
  }

  /** The unsigned number of 32 bits at `offset` of the record. */
  #number(offset: number): number {
    return this.#bytes.readUInt32LE(this.#at + offset);
  }
}

/**
 * Whether `now`, which was seen through another mount, is the file `listed` and nothing was written to it since. The inode alone tells which
 * file it is: an overlay is another file system each time that it is mounted.
 */
export function isAsListed(now: ListedEntry, listed: ListedEntry): boolean {
  return (
    now.identity.slice(deviceBytes) === listed.identity.slice(deviceBytes) && now.size === listed.size && now.changedAt === listed.changedAt
  );
}

const noXattrs: readonly Xattr[] = [];

function readXattrs(bytes: Buffer, start: number, end: number): Xattr[] {
  const xattrs: Xattr[] = [];
  for (let at = start; at < end;) {
    const nameEnd = at + 8 + bytes.readUInt32LE(at);
    const valueEnd = nameEnd + bytes.readUInt32LE(at + 4);
    xattrs.push({ name: byteStringFromBytes(bytes, at + 8, nameEnd), value: bytes.subarray(nameEnd, valueEnd) });
    at = valueEnd;
  }
  return xattrs.sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** Where the records of one directory lie: its own first. */
interface Block {
  readonly start: number;
  readonly end: number;
}

/** A whole tree as it was at one time. */
export class Listing {
  readonly bytes: Buffer;
  readonly #blocks = new Map<ByteString, Block>();

  /** @throws CodedError `corrupt` when `bytes` are not what the executor writes */
  constructor(bytes: Buffer) {
    this.bytes = bytes;
    let open: { path: ByteString; start: number } | undefined;
    let at = 0;
    while (at < bytes.length) {
      const next = at + recordLength(bytes, at);
      if (bytes.readUInt16LE(at + 4) === recordKinds.directory) {
        if (open !== undefined) this.#blocks.set(open.path, { start: open.start, end: at });
        open = { path: byteStringFromBytes(bytes, at + recordHeadBytes, at + recordHeadBytes + bytes.readUInt16LE(at + 6)), start: at };
      } else if (open === undefined) throw damaged("it begins with no directory");
      at = next;
    }
    if (open === undefined) throw damaged("it is empty");
    this.#blocks.set(open.path, { start: open.start, end: at });
  }

  /** Paths of all directories that were listed; the tree's own is "". */
  get directories(): IterableIterator<ByteString> {
    return this.#blocks.keys();
  }

  has(directory: ByteString): boolean {
    return this.#blocks.has(directory);
  }

  /** A directory as it describes itself; undefined when it was not listed. */
  self(directory: ByteString): ListedEntry | undefined {
    const block = this.#blocks.get(directory);
    return block === undefined ? undefined : readEntry(this.bytes, block.start);
  }

  /** What lies in `directory`, in no order; nothing when it was not listed. */
  *entries(directory: ByteString): Generator<ListedEntry, void, undefined> {
    for (const at of this.records(directory)) yield readEntry(this.bytes, at);
  }

  /** Where the records of what lies in `directory` begin. */
  *records(directory: ByteString): Generator<number, void, undefined> {
    const block = this.#blocks.get(directory);
    if (block === undefined) return;
    for (let at = block.start + recordLength(this.bytes, block.start); at < block.end; at += recordLength(this.bytes, at)) yield at;
  }

  /** Regular files that have content and several names, once for each name that lies in the tree. */
  *linkedFiles(): Generator<{ readonly directory: ByteString; readonly entry: ListedEntry }, void, undefined> {
    const { bytes } = this;
    for (const [directory, { start, end }] of this.#blocks) {
      for (let at = start + recordLength(bytes, start); at < end; at += recordLength(bytes, at)) {
        if (bytes.readUInt32LE(at + 20) === 1 || bytes.readUInt32LE(at + 8) >>> 12 !== 0o10) continue;
        const entry = readEntry(bytes, at);
        if (entry.size > 0) yield { directory, entry };
      }
    }
  }

  /** Every record, in the order in which they lie. */
  *allRecords(): Generator<{ readonly start: number; readonly end: number; readonly entry: ListedEntry }, void, undefined> {
    for (let start = 0; start < this.bytes.length;) {
      const end = start + recordLength(this.bytes, start);
      yield { start, end, entry: readEntry(this.bytes, start) };
      start = end;
    }
  }

  /** True when both listings say the very same of `directory` itself and of each entry. */
  isSame(other: Listing, directory: ByteString): boolean {
    const [mine, theirs] = [this.#blocks.get(directory), other.#blocks.get(directory)];
    if (mine === undefined || theirs === undefined || mine.end - mine.start !== theirs.end - theirs.start) return false;
    return this.bytes.compare(other.bytes, theirs.start, theirs.end, mine.start, mine.end) === 0;
  }
}

/** The length of the record at `at`, which lies whole in `bytes`. @throws CodedError `corrupt` */
function recordLength(bytes: Buffer, at: number): number {
  if (bytes.length - at < recordHeadBytes) throw damaged(`it ends within the record at byte ${at}`);
  const length = bytes.readUInt32LE(at);
  const content = recordHeadBytes + bytes.readUInt16LE(at + 6) + bytes.readUInt32LE(at + 80) + bytes.readUInt32LE(at + 84);
  if (length % 8 !== 0 || length < content || length > bytes.length - at) throw damaged(`the record at byte ${at} has a wrong length`);
  return length;
}

function damaged(fact: string): CodedError {
  return new CodedError("corrupt", `cannot read a listing of a tree: ${fact}`);
}
