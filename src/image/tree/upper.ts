/**
 * Changes as overlayfs keeps them: an upper directory over a tree. Only what is in the upper directory is looked at, so it costs what
 * changed and not what there is; and what was only touched is no change.
 *
 * @see the kernel's Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories", "Redirects", "Metadata only copy up"
 */
import { displayByteString, type ByteString } from "#base/byte-string.ts";
import { CodedError } from "#base/errors.ts";
import { joinPath, type Changeset } from "./change.ts";
import { collectFindings, compareEntries, decide } from "./compare.ts";
import { Findings } from "./findings.ts";
import { Listing, readEntry, type ListedEntry } from "./listing.ts";
import { compareFiles, listEntries, listTree, type Place } from "./survey.ts";

/** What an upper directory says, as a changeset, and the directory as it is. */
export interface UpperDifference {
  readonly changes: Changeset;
  readonly upper: Listing;
}

/** Where the trees lie in the place. */
export interface UpperNames {
  readonly upper: ByteString;
  readonly lower: ByteString;
}

const [emptyPath, opaqueMark] = ["" as ByteString, "y".charCodeAt(0)];

/** The changes in the upper directory. @throws CodedError `unsupported` where it refers to the lower tree instead of holding a change */
export async function diffUpper(place: Place, names: UpperNames): Promise<UpperDifference> {
  const upper = await listTree(place, names.upper);
  const directories: ByteString[] = [];
  const opaque: ByteString[] = [];
  for (const directory of upper.directories) {
    if (isBelow(directory, opaque)) continue;
    const self = upper.self(directory);
    if (self !== undefined && isOpaque(self)) opaque.push(directory);
    else directories.push(directory);
  }
  for (const { directory, entry } of entriesIn(upper, directories)) requireWhole(directory, entry);
  const found = new Findings();
  await collectMerged(place, names, { upper, directories, found });
  for (const directory of opaque) await collectOpaque(place, names, { found, prefix: directory });
  return { changes: await decide(found, (paths) => sameFiles(place, names, paths)), upper };
}

/** What lies in `directories`, with where its record begins. */
function* entriesIn(
  listing: Listing,
  directories: readonly ByteString[],
): Generator<{ readonly directory: ByteString; readonly at: number; readonly entry: ListedEntry }, void, undefined> {
  for (const directory of directories) {
    for (const at of listing.records(directory)) yield { directory, at, entry: readEntry(listing.bytes, at) };
  }
}

/** Directories that are not opaque change the lower ones, name by name. */
async function collectMerged(
  place: Place,
  names: UpperNames,
  { upper, directories, found }: { readonly upper: Listing; readonly directories: readonly ByteString[]; readonly found: Findings },
): Promise<void> {
  const inLower = {
    *[Symbol.iterator](): Generator<ByteString, void, undefined> {
      for (const { directory, entry } of entriesIn(upper, directories)) yield joinPath(names.lower, joinPath(directory, entry.name));
    },
  };
  const entries = entriesIn(upper, directories);
  let entered: ByteString | undefined;
  await listEntries(place, inLower, (lower) => {
    const { value } = entries.next();
    if (value === undefined) throw new CodedError("internal", "the executor told of a file that nobody asked for");
    const { directory, at, entry } = value;
    if (directory !== entered) found.enter(directory, { before: upper.bytes, after: upper.bytes });
    entered = directory;
    const before = lower?.kind === "socket" ? undefined : lower;
    if (isWhiteout(entry) || entry.kind === "socket") {
      if (before !== undefined) found.addDeleted(at);
    } else found.add(before === undefined ? "added" : compareEntries(before, entry), at, { before, after: entry });
  });
}

/** An opaque directory holds all that there is; what it hides is what the lower one has besides. */
async function collectOpaque(
  place: Place,
  names: UpperNames,
  into: { readonly found: Findings; readonly prefix: ByteString },
): Promise<void> {
  let isThere = false;
  await listEntries(place, [joinPath(names.lower, into.prefix)], (below) => {
    isThere = below?.kind === "directory";
  });
  const after = await listTree(place, joinPath(names.upper, into.prefix));
  // A listing's first record is the directory itself: alone, it is one of an empty directory.
  const before = isThere
    ? await listTree(place, joinPath(names.lower, into.prefix))
    : new Listing(after.bytes.subarray(0, after.bytes.readUInt32LE(0)));
  collectFindings(before, withoutWhiteouts(after), into);
}

/** Whiteouts in an opaque directory hide nothing. */
function withoutWhiteouts(listing: Listing): Listing {
  const kept = Buffer.allocUnsafeSlow(listing.bytes.length);
  let length = 0;
  for (const { start, end, entry } of listing.allRecords()) {
    if (!isWhiteout(entry)) length += listing.bytes.copy(kept, length, start, end);
  }
  return new Listing(kept.subarray(0, length));
}

async function sameFiles(place: Place, names: UpperNames, paths: readonly ByteString[]): Promise<ReadonlySet<ByteString>> {
  const same = await compareFiles(
    place,
    paths.map((path) => [joinPath(names.lower, path), joinPath(names.upper, path)] as const),
  );
  return new Set(paths.filter((_, index) => same[index] === true));
}

function isWhiteout(entry: ListedEntry): boolean {
  if (entry.kind === "character") return entry.major === 0 && entry.minor === 0;
  return entry.kind === "file" && entry.size === 0 && overlayXattr(entry, "whiteout") !== undefined;
}

function isOpaque(entry: ListedEntry): boolean {
  return overlayXattr(entry, "opaque")?.[0] === opaqueMark;
}

/**
 * SECURITY: not user.overlay.*, which is where overlayfs keeps its marks when it is mounted with `userxattr`. Ours is not, so these are then
 * attributes that any process of the container may set on its own files, and what the overlay shows does not change by them.
 */
function overlayXattr(entry: ListedEntry, name: string): Uint8Array | undefined {
  return entry.xattrs.find((xattr) => xattr.name === `trusted.overlay.${name}`)?.value;
}

function requireWhole(directory: ByteString, entry: ListedEntry): void {
  if (entry.xattrs.length === 0) return;
  const path = joinPath(directory, entry.name);
  const mark = ["redirect", "metacopy"].find((name) => overlayXattr(entry, name) !== undefined);
  if (mark === undefined) return;
  throw new CodedError("unsupported", `cannot tell the changes at "${displayByteString(path)}": overlayfs has only noted a ${mark} there`);
}

function isBelow(path: ByteString, directories: readonly ByteString[]): boolean {
  return directories.some((directory) => directory === emptyPath || path === directory || path.startsWith(`${directory}/`));
}
