/**
 * Hard links in changesets. A layer says "this name is that file" only of names that it has itself: what a link into a lower layer does
 * depends on who applies it (image-spec layer.md#hardlinks). So of a file with several names a changeset has all or none.
 */
import type { ByteString } from "#base/byte-string.ts";
import type { Findings, SharedName } from "./findings.ts";

/** Names of one file in the new tree. */
interface Group {
  readonly firstPath: ByteString;
  readonly names: readonly SharedName[];
}

/** Turns verdicts of `same` into `modified` where the names of a file must come along, or are no longer names of one file. */
export function linkGroups(findings: Findings): void {
  const claimed = new Set<string>();
  // Of a file that has become several, the one with the first name may stay.
  const groups = groupsOf(findings).sort((one, other) => (one.firstPath < other.firstPath ? -1 : 1));
  for (const { names } of groups) {
    if (stays(findings, names, claimed)) continue;
    for (const { index } of names) if (findings.verdict(index) === "same") findings.decide(index, "modified");
  }
}

function groupsOf(findings: Findings): Group[] {
  const groups = new Map<string, SharedName[]>();
  for (const name of findings.sharedNames) {
    const group = groups.get(name.identity);
    if (group === undefined) groups.set(name.identity, [name]);
    else group.push(name);
  }
  return Array.from(groups.values(), (names) => {
    const paths = names.map(({ index }) => findings.path(index));
    return { firstPath: paths.reduce((one, other) => (other < one ? other : one)), names };
  });
}

/** True when the names of a group were names of one file before, and nothing about them has changed. */
function stays(findings: Findings, names: readonly SharedName[], claimed: Set<string>): boolean {
  const was = names[0]?.identityBefore;
  if (was === undefined) return false;
  if (names.some(({ index, identityBefore }) => findings.verdict(index) !== "same" || identityBefore !== was)) return false;
  if (claimed.has(was)) return false;
  claimed.add(was);
  return true;
}
