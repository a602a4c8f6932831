/**
 * Changes as overlayfs keeps them: an upper directory over a tree. Only what is in the upper directory is looked at, so it costs what
 * changed and not what there is; and what was only touched is no change.
 *
 * @see the kernel's Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories", "Redirects", "Metadata only copy up"
 */
import { displayByteString, type ByteString } from "#base/byte-string.ts";
import { CodedError } from "#base/errors.ts";
import { joinPath, type Change } from "./change.ts";
import { collectFindings, compareEntries, decide, type Findings } from "./compare.ts";
import { compareFiles, listEntries, listTree, type Place } from "./survey.ts";
import { Listing, type ListedEntry } from "./listing.ts";

/** What an upper directory says, as a changeset, and the directory as it is. */
export interface UpperDifference {
  readonly changes: readonly Change[];
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
  const found: { path: ByteString; entry: ListedEntry }[] = [];
  const opaque: ByteString[] = [];
  for (const directory of upper.directories) {
    if (isBelow(directory, opaque)) continue;
    const self = upper.self(directory);
    if (self !== undefined && isOpaque(self)) opaque.push(directory);
    else for (const entry of upper.entries(directory)) found.push({ path: joinPath(directory, entry.name), entry });
  }
  for (const { path, entry } of found) requireWhole(path, entry);
  const lower = await listEntries(
    place,
    found.map(({ path }) => joinPath(names.lower, path)),
  );
  const findings: Findings = { candidates: [], deleted: [] };
  for (const [index, { path, entry }] of found.entries()) {
    const before = lower[index]?.kind === "socket" ? undefined : lower[index];
    if (isWhiteout(entry) || entry.kind === "socket") {
      if (before !== undefined) findings.deleted.push({ kind: "deleted", path });
    } else
      findings.candidates.push({ path, before, after: entry, verdict: before === undefined ? "added" : compareEntries(before, entry) });
  }
  for (const directory of opaque) await collectOpaque(place, names, { found: findings, prefix: directory });
  return { changes: await decide(findings, (paths) => sameFiles(place, names, paths)), upper };
}

/** An opaque directory holds all that there is; what it hides is what the lower one has besides. */
async function collectOpaque(
  place: Place,
  names: UpperNames,
  into: { readonly found: Findings; readonly prefix: ByteString },
): Promise<void> {
  const [below] = await listEntries(place, [joinPath(names.lower, into.prefix)]);
  const after = await listTree(place, joinPath(names.upper, into.prefix));
  const isThere = below?.kind === "directory";
  // A listing's first record is the directory itself: alone, it is one of an empty directory.
  const before = isThere
    ? await listTree(place, joinPath(names.lower, into.prefix))
    : new Listing(after.bytes.subarray(0, after.bytes.readUInt32LE(0)));
  collectFindings(before, withoutWhiteouts(after), into);
}

/** Whiteouts in an opaque directory hide nothing. */
function withoutWhiteouts(listing: Listing): Listing {
  const kept: Buffer[] = [];
  for (const { start, end, entry } of listing.records()) if (!isWhiteout(entry)) kept.push(listing.bytes.subarray(start, end));
  return new Listing(Buffer.concat(kept));
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

/** With `userxattr`, overlayfs keeps its marks in user.overlay.* */
function overlayXattr(entry: ListedEntry, name: string): Uint8Array | undefined {
  return entry.xattrs.find((xattr) => xattr.name === `trusted.overlay.${name}` || xattr.name === `user.overlay.${name}`)?.value;
}

function requireWhole(path: ByteString, entry: ListedEntry): void {
  const mark = ["redirect", "metacopy"].find((name) => overlayXattr(entry, name) !== undefined);
  if (mark === undefined) return;
  throw new CodedError("unsupported", `cannot tell the changes at "${displayByteString(path)}": overlayfs has only noted a ${mark} there`);
}

function isBelow(path: ByteString, directories: readonly ByteString[]): boolean {
  return directories.some((directory) => directory === emptyPath || path === directory || path.startsWith(`${directory}/`));
}
