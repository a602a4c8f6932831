/**
 * Two listings in, a changeset out.
 *
 * Metadata decides wherever it can: a file whose inode, size, times and attributes are those that were listed has not changed (its change time
 * cannot be set by anybody). Content is asked for only where two different files look the same.
 */
import type { ByteString } from "#base/byte-string.ts";
import { isIgnoredXattr } from "../layer/xattrs.ts";
import type { Xattr } from "../tar/header.ts";
import { joinPath, sortChanges, type Change } from "./change.ts";
import { linkGroups, type Candidate } from "./links.ts";
import type { ListedEntry, Listing } from "./listing.ts";

/** Says of which of these regular files the content is the same in both trees. Each is of the same size in both. */
export type CompareContent = (paths: readonly ByteString[]) => Promise<ReadonlySet<ByteString>>;

/** What two listings show to be different, or may be. */
export interface Findings {
  readonly candidates: Candidate[];
  readonly deleted: Change[];
}

/** What makes `after` of `before`. Sockets count as missing: they mean nothing without their process, and layers cannot hold them. */
export async function compareListings(before: Listing, after: Listing, compareContent: CompareContent): Promise<Change[]> {
  const found: Findings = { candidates: [], deleted: [] };
  compareRoots(before, after, found.candidates);
  collectFindings(before, after, { found, prefix: root });
  return await decide(found, compareContent);
}

/** Adds to `found` how the entries of all directories differ; `prefix` is put before their paths. The roots themselves are not compared. */
export function collectFindings(before: Listing, after: Listing, into: { readonly found: Findings; readonly prefix: ByteString }): void {
  for (const directory of after.directories) {
    if (!after.isSame(before, directory)) compareDirectory(before.entries(directory), after.entries(directory), { ...into, directory });
  }
}

/** The changeset that findings make. */
export async function decide({ candidates, deleted }: Findings, compareContent: CompareContent): Promise<Change[]> {
  await judge(candidates, compareContent);
  return sortChanges([...deleted, ...changesOf(candidates)]);
}

/** Decides what is doubtful, and what follows for other names of the same files. */
async function judge(candidates: readonly Candidate[], compareContent: CompareContent): Promise<void> {
  const doubtful = candidates.filter(({ verdict }) => verdict === "doubtful");
  if (doubtful.length > 0) {
    const same = await compareContent(doubtful.map(({ path }) => path));
    for (const candidate of doubtful) candidate.verdict = same.has(candidate.path) ? "same" : "modified";
  }
  linkGroups(candidates);
}

/** The changes that judged candidates are, in no order. */
function changesOf(candidates: readonly Candidate[]): Change[] {
  const first = new Map<string, ByteString>();
  const changed = candidates.filter(({ verdict }) => verdict !== "same");
  const isShared = (entry: ListedEntry): boolean => entry.links > 1 && entry.kind !== "directory";
  const ordered = sortChanges(changed.filter(({ after }) => isShared(after)).map((one) => changeOf(one)));
  for (const { path, ...change } of ordered) {
    if ("entry" in change && !first.has(change.entry.identity)) first.set(change.entry.identity, path);
  }
  return changed.map((candidate) => {
    const target = isShared(candidate.after) ? first.get(candidate.after.identity) : undefined;
    return target === undefined || target === candidate.path ? changeOf(candidate) : { ...changeOf(candidate), linkTo: target };
  });
}

function changeOf({ path, before, after }: Candidate): Change & { kind: "added" | "modified" } {
  return { kind: before === undefined ? "added" : "modified", path, entry: after };
}

const root = "" as ByteString;

function compareRoots(before: Listing, after: Listing, candidates: Candidate[]): void {
  const [one, other] = [before.self(root), after.self(root)];
  if (one === undefined || other === undefined) return;
  if (compareEntries(one, other) === "modified") candidates.push({ path: root, before: one, after: other, verdict: "modified" });
}

function compareDirectory(
  before: Iterable<ListedEntry>,
  after: Iterable<ListedEntry>,
  into: { readonly found: Findings; readonly prefix: ByteString; readonly directory: ByteString },
): void {
  const directory = into.directory === root ? into.prefix : joinPath(into.prefix, into.directory);
  const old = new Map<ByteString, ListedEntry>();
  for (const entry of before) if (entry.kind !== "socket") old.set(entry.name, entry);
  for (const entry of after) {
    if (entry.kind === "socket") continue;
    const was = old.get(entry.name);
    old.delete(entry.name);
    const verdict = was === undefined ? "added" : compareEntries(was, entry);
    // A name that is as it was matters only where its file has other names.
    if (verdict === "same" && (entry.kind === "directory" || (entry.links === 1 && was?.links === 1))) continue;
    into.found.candidates.push({ path: joinPath(directory, entry.name), before: was, after: entry, verdict });
  }
  for (const name of old.keys()) into.found.deleted.push({ kind: "deleted", path: joinPath(directory, name) });
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
