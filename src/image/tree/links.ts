/**
 * Hard links in changesets. A layer says "this name is that file" only of names that it has itself: what a link into a lower layer does
 * depends on who applies it (image-spec layer.md#hardlinks). So of a file with several names a changeset has all or none.
 */
import type { ByteString } from "#base/byte-string.ts";
import type { ListedEntry } from "./listing.ts";

/** A name in the new tree that is not known to be as it was. */
export interface Candidate {
  readonly path: ByteString;
  readonly before: ListedEntry | undefined;
  readonly after: ListedEntry;
  verdict: "added" | "modified" | "same" | "doubtful";
}

/** Turns verdicts of `same` into `modified` where the names of a file must come along, or are no longer names of one file. */
export function linkGroups(candidates: readonly Candidate[]): void {
  const groups = new Map<string, Candidate[]>();
  for (const candidate of candidates) {
    const { before, after } = candidate;
    if (after.kind === "directory" || (after.links === 1 && (before?.links ?? 1) === 1)) continue;
    const group = groups.get(after.identity);
    if (group === undefined) groups.set(after.identity, [candidate]);
    else group.push(candidate);
  }
  const claimed = new Set<string>();
  const ordered = [...groups.values()].map((group) => group.sort((one, other) => (one.path < other.path ? -1 : 1)));
  // Of a file that has become several, the one with the first name may stay.
  ordered.sort(([one], [other]) => ((one?.path ?? "") < (other?.path ?? "") ? -1 : 1));
  for (const group of ordered) {
    if (!stays(group, claimed)) for (const candidate of group) if (candidate.verdict === "same") candidate.verdict = "modified";
  }
}

/** True when the names of a group were names of one file before, and nothing about them has changed. */
function stays(group: readonly Candidate[], claimed: Set<string>): boolean {
  const was = group[0]?.before?.identity;
  if (was === undefined || group.some(({ verdict, before }) => verdict !== "same" || before?.identity !== was)) return false;
  if (claimed.has(was)) return false;
  claimed.add(was);
  return true;
}
