/** A changeset: what makes one tree of another, as a list in a fixed order. */
import type { ByteString } from "#base/byte-string.ts";
import { CodedError } from "#base/errors.ts";
import type { ListedEntry } from "./listing.ts";

/** One path that differs. Paths are normalised: relative, the tree's root is "". */
export type Change =
  | {
      readonly kind: "added" | "modified";
      readonly path: ByteString;
      readonly entry: ListedEntry;
      /** Another name of the same file, which comes before this one in the changeset. */
      readonly linkTo?: ByteString;
    }
  | { readonly kind: "deleted"; readonly path: ByteString };

/**
 * Changes by path, component by component in the order of bytes; in each directory what is deleted comes first.
 *
 * They may be as many as files, so a change becomes an object when it is looked at, each time anew.
 *
 * SPEC: layer.md#whiteouts: whiteouts should come before their siblings.
 */
export interface Changeset extends Iterable<Change> {
  readonly length: number;
  /** All but the root itself, which comes first. */
  withoutRoot(): Changeset;
  filter(keep: (change: Change) => boolean): Changeset;
}

/** `name` in the directory `path`. */
export function joinPath(path: ByteString, name: ByteString): ByteString {
  return (path === "" ? name : `${path}/${name}`) as ByteString;
}

/** The directory that holds `path`; undefined for the root. */
export function parentOf(path: ByteString): ByteString | undefined {
  if (path === "") return undefined;
  return path.slice(0, Math.max(path.lastIndexOf("/"), 0)) as ByteString;
}

/** For what has changed between being listed and being read. */
export function changedMeanwhile(what: string): CodedError {
  return new CodedError("wrong-state", `cannot read ${what}: it changed meanwhile (stop or pause what writes to it)`);
}
