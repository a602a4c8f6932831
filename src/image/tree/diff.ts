/** Two trees below one directory, compared by what is in them. */
import type { ByteString } from "#base/byte-string.ts";
import { joinPath, type Changeset } from "./change.ts";
import { compareListings } from "./compare.ts";
import type { Listing } from "./listing.ts";
import { compareFiles, listTree, type Place } from "./survey.ts";

/** What makes one tree of another, and the other one as it is. */
export interface TreeDifference {
  readonly changes: Changeset;
  readonly after: Listing;
}

/** Compares the trees `names.before` and `names.after` of `place`. @throws CodedError `wrong-state` when one changed meanwhile */
export async function diffTrees(place: Place, names: { readonly before: ByteString; readonly after: ByteString }): Promise<TreeDifference> {
  const before = await listTree(place, names.before);
  const after = await listTree(place, names.after);
  const compareContent = async (paths: readonly ByteString[]): Promise<ReadonlySet<ByteString>> => {
    const pairs = paths.map((path) => [joinPath(names.before, path), joinPath(names.after, path)] as const);
    const same = await compareFiles(place, pairs);
    return new Set(paths.filter((_, index) => same[index] === true));
  };
  return { changes: await compareListings(before, after, compareContent), after };
}
