/**
 * Two listings in, a changeset out.
 *
 * Metadata decides wherever it can: a file whose inode, size, times and attributes are those that were listed has not changed (its change time
 * cannot be set by anybody). Content is asked for only where two different files look the same.
 */
import type { ByteString } from "#base/byte-string.ts";
import { isIgnoredXattr } from "../layer/xattrs.ts";
import type { Xattr } from "../tar/header.ts";
import { joinPath, type Changeset } from "./change.ts";
import { Findings } from "./findings.ts";
import { linkGroups } from "./links.ts";
import { readEntry, type ListedEntry, type Listing } from "./listing.ts";
import { inOrder } from "./order.ts";

/** Says of which of these regular files the content is the same in both trees. Each is of the same size in both. */
export type CompareContent = (paths: readonly ByteString[]) => Promise<ReadonlySet<ByteString>>;

/** What makes `after` of `before`. Sockets count as missing: they mean nothing without their process, and layers cannot hold them. */
export async function compareListings(before: Listing, after: Listing, compareContent: CompareContent): Promise<Changeset> {
  const found = new Findings();
  compareRoots(before, after, found);
  collectFindings(before, after, { found, prefix: root });
  return await decide(found, compareContent);
}

/** Adds to `found` how the entries of all directories differ; `prefix` is put before their paths. The roots themselves are not compared. */
export function collectFindings(before: Listing, after: Listing, into: { readonly found: Findings; readonly prefix: ByteString }): void {
  for (const directory of after.directories) {
    if (after.isSame(before, directory)) continue;
    into.found.enter(directory === root ? into.prefix : joinPath(into.prefix, directory), { before: before.bytes, after: after.bytes });
    compareDirectory(before, after, { ...into, directory });
  }
}

/** The changeset that findings make. */
export async function decide(found: Findings, compareContent: CompareContent): Promise<Changeset> {
  const doubtful: { readonly index: number; readonly path: ByteString }[] = [];
  for (let index = 0; index < found.length; index++) {
    if (found.verdict(index) === "doubtful") doubtful.push({ index, path: found.path(index) });
  }
  if (doubtful.length > 0) {
    const same = await compareContent(doubtful.map(({ path }) => path));
    for (const { index, path } of doubtful) found.decide(index, same.has(path) ? "same" : "modified");
  }
  linkGroups(found);
  return inOrder(found);
}

const root = "" as ByteString;

function compareRoots(before: Listing, after: Listing, found: Findings): void {
  const [one, other] = [before.self(root), after.self(root)];
  if (one === undefined || other === undefined || compareEntries(one, other) !== "modified") return;
  found.enter(root, { before: before.bytes, after: after.bytes });
  // A listing begins with the record of its root.
  found.add("modified", 0, { before: one, after: other });
}

function compareDirectory(
  before: Listing,
  after: Listing,
  { found, directory }: { readonly found: Findings; readonly directory: ByteString },
): void {
  const old = new Map<ByteString, number>();
  for (const at of before.records(directory)) {
    const entry = readEntry(before.bytes, at);
    if (entry.kind !== "socket") old.set(entry.name, at);
  }
  for (const at of after.records(directory)) {
    const entry = readEntry(after.bytes, at);
    if (entry.kind === "socket") continue;
    const { name } = entry;
    const place = old.get(name);
    old.delete(name);
    const was = place === undefined ? undefined : readEntry(before.bytes, place);
    const verdict = was === undefined ? "added" : compareEntries(was, entry);
    // A name that is as it was matters only where its file has other names.
    if (verdict === "same" && (entry.kind === "directory" || (entry.links === 1 && was?.links === 1))) continue;
    found.add(verdict, at, { before: was, after: entry });
  }
  for (const at of old.values()) found.addDeleted(at);
}

/** What the metadata of two files of one name tells. */
export function compareEntries(before: ListedEntry, after: ListedEntry): "same" | "modified" | "doubtful" {
  if (
    before.kind !== after.kind ||
    before.mode !== after.mode ||
    before.uid !== after.uid ||
    before.gid !== after.gid ||
    before.seconds !== after.seconds ||
    before.nanos !== after.nanos ||
    before.target !== after.target ||
    before.major !== after.major ||
    before.minor !== after.minor ||
    !haveSameXattrs(before.xattrs, after.xattrs)
  )
    return "modified";
  if (after.kind !== "file") return "same";
  if (before.size !== after.size) return "modified";
  if (after.size === 0 || (before.identity === after.identity && before.changedAt === after.changedAt)) return "same";
  return "doubtful";
}

function haveSameXattrs(one: readonly Xattr[], other: readonly Xattr[]): boolean {
  if (one.length === 0 && other.length === 0) return true;
  const [left, right] = [one, other].map((xattrs) => xattrs.filter(({ name }) => !isIgnoredXattr(name))) as [Xattr[], Xattr[]];
  return (
    left.length === right.length &&
    left.every(({ name, value }, index) => name === right[index]?.name && Buffer.compare(value, right[index]?.value ?? value) === 0)
  );
}
