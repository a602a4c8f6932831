/**
 * Where peers differ from what the layer cases expect, and why we side against them: the table that the comparison with
 * their trees is allowed to use. Found with umoci 0.4.7 and containers/storage of podman 4.3.1 (drivers vfs and overlay).
 */
import type { TreeDifference } from "../tree.ts";
import { caseDirectory } from "./cases/case.ts";
import type { PeerName } from "./peers.ts";

/** One disagreement: these peers do `what` in that layer case. */
export interface KnownDifference {
  readonly layerCase: string;
  readonly peers: readonly PeerName[];
  /** `refuses`: the peer takes no image with this case; `differs`: its tree is another. */
  readonly how: "refuses" | "differs";
  readonly what: string;
  /** What is right, with the rule that says so. "Open" where no rule does. */
  readonly right: string;
}

const sameLayer = "layer.md#whiteouts: files of the same layer can only be hidden by later layers, whatever the order";
const unnamed = "layer.md#applying-changesets: only the changes are applied, so a directory without an entry keeps mode, owner and time";
const flat = "manifest.md: the result must match applying the layers to an empty directory, so lower layers are visible to names";
const duplicates = "layer.md forbids writers to repeat a path and says nothing to readers: we take the last, as tar and umoci do";
const storage: readonly PeerName[] = ["vfs", "overlay"];

export const knownDifferences: readonly KnownDifference[] = [
  {
    layerCase: "whiteout-after-same-name",
    peers: ["vfs"],
    how: "differs",
    what: "removes what the same layer wrote before",
    right: sameLayer,
  },
  { layerCase: "whiteout-after-same-name", peers: ["overlay"], how: "refuses", what: "file exists", right: sameLayer },
  {
    layerCase: "whiteout-before-same-directory",
    peers: ["overlay"],
    how: "differs",
    what: "replaces the whiteout by the new directory, which then merges with the lower one",
    right: "layer.md#whiteouts: the whiteout holds; in an overlay the new directory must be opaque",
  },
  { layerCase: "whiteout-after-same-directory", peers: storage, how: "refuses", what: "chtimes fails, or: file exists", right: sameLayer },
  {
    layerCase: "whiteout-after-implied-directory",
    peers: ["vfs"],
    how: "differs",
    what: "removes what the same layer wrote before",
    right: sameLayer,
  },
  { layerCase: "whiteout-after-implied-directory", peers: ["overlay"], how: "refuses", what: "file exists", right: sameLayer },
  {
    layerCase: "whiteout-in-directory-without-entry",
    peers: storage,
    how: "differs",
    what: "touches, or replaces by 0755 root, the parent",
    right: unnamed,
  },
  {
    layerCase: "whiteout-in-missing-directory",
    peers: storage,
    how: "differs",
    what: "makes the parents; overlay also leaves a name that readdir shows (a whiteout in a directory that is not merged)",
    right: "Open whether parents are made; the whiteout itself must be hidden (layer.md#whiteouts)",
  },
  {
    layerCase: "whiteout-under-whiteout",
    peers: ["vfs"],
    how: "differs",
    what: "makes the parents of the inner whiteout again",
    right: "layer.md#whiteouts: a whiteout is no addition, so what it names and its parents stay away",
  },
  { layerCase: "whiteout-through-lower-symlink", peers: ["overlay"], how: "differs", what: "puts a directory over the link", right: flat },
  {
    layerCase: "whiteouts-below-replaced-directory",
    peers: storage,
    how: "refuses",
    what: "not a directory, or: no such file or directory",
    right: "layer.md#whiteouts: hiding what is gone changes nothing; umoci's repack writes such layers",
  },
  {
    layerCase: "whiteouts-below-replacing-symlink",
    peers: ["umoci", "vfs"],
    how: "differs",
    what: "follows the link of the same layer and removes the file of that name in the link's target",
    right: "layer.md#whiteouts: whiteouts apply to lower layers only, where that name is another file; the target's stays",
  },
  {
    layerCase: "whiteouts-below-replacing-symlink",
    peers: ["overlay"],
    how: "refuses",
    what: "no such file or directory",
    right: "layer.md#whiteouts: hiding what is gone changes nothing",
  },
  {
    layerCase: "opaque-without-directory-entry",
    peers: storage,
    how: "differs",
    what: "touches, or replaces by 0755 root, the directory",
    right: unnamed,
  },
  {
    layerCase: "opaque-last",
    peers: ["umoci"],
    how: "differs",
    what: "removes lower children after the time of a subdirectory was set, which loses that time",
    right: "layer.md#file-attributes and #whiteouts: the opaque mark applies first, whatever the order",
  },
  { layerCase: "opaque-twice", peers: storage, how: "refuses", what: "duplicates of file paths not supported", right: duplicates },
  {
    layerCase: "aufs-metadata",
    peers: ["umoci", "vfs", "overlay"],
    how: "differs",
    what: "makes the directory .wh..wh.plnk where it does not lie at the root",
    right: 'layer.md#whiteouts: no result has a name that begins with ".wh."',
  },
  {
    layerCase: "directory-attributes",
    peers: ["vfs"],
    how: "differs",
    what: "keeps extended attributes that the entry does not have",
    right: "layer.md#changeset-over-existing-files: the existing attributes are replaced",
  },
  {
    layerCase: "file-in-directory-without-entry",
    peers: storage,
    how: "differs",
    what: "touches, or replaces by 0755 root, the parent",
    right: unnamed,
  },
  { layerCase: "lower-symlinked-directory", peers: ["overlay"], how: "differs", what: "puts a directory over the link", right: flat },
  { layerCase: "lower-absolute-symlink", peers: ["overlay"], how: "differs", what: "puts a directory over the link", right: flat },
  { layerCase: "lower-symlink-above-root", peers: ["overlay"], how: "differs", what: "puts a directory over the link", right: flat },
  { layerCase: "directory-replaced-then-followed", peers: ["overlay"], how: "refuses", what: "no such file or directory", right: flat },
  { layerCase: "repeated-file", peers: storage, how: "refuses", what: "duplicates of file paths not supported", right: duplicates },
  {
    layerCase: "repeated-as-other-kind",
    peers: storage,
    how: "refuses",
    what: "duplicates of file paths not supported",
    right: duplicates,
  },
  {
    layerCase: "hardlink-target-replaced-later",
    peers: storage,
    how: "refuses",
    what: "duplicates of file paths not supported",
    right: duplicates,
  },
  { layerCase: "hardlink-repeated", peers: storage, how: "refuses", what: "duplicates of file paths not supported", right: duplicates },
  {
    layerCase: "hardlink-to-lower",
    peers: ["overlay"],
    how: "refuses",
    what: "no such file or directory",
    right: `layer.md#hardlinks allows to fail; ${flat}`,
  },
  {
    layerCase: "hardlink-to-lower-group",
    peers: ["overlay"],
    how: "refuses",
    what: "no such file or directory",
    right: `layer.md#hardlinks allows to fail; ${flat}`,
  },
  {
    layerCase: "hardlink-to-lower-group",
    peers: ["umoci", "vfs"],
    how: "differs",
    what: "keeps the lower name that the entry does not speak of in the group; overlayfs copies only the other one up",
    right: "Open: layer.md#hardlinks, union file systems may have limited support for links into a lower layer",
  },
  ...["hardlink-to-symlink", "hardlink-to-fifo-and-device"].map((layerCase) => ({
    layerCase,
    peers: ["vfs"] as const,
    how: "differs" as const,
    what: "copies the tree per layer and takes links to other than regular files apart",
    right: "layer.md#hardlinks: possible with all file types but directories",
  })),
  {
    layerCase: "hardlink-to-lower-through-symlink",
    peers: ["overlay"],
    how: "refuses",
    what: "no such file or directory",
    right: `layer.md#hardlinks allows to fail; ${flat}`,
  },
  {
    layerCase: "hardlink-moves-lower-file",
    peers: ["overlay"],
    how: "refuses",
    what: "no such file or directory",
    right: `layer.md#hardlinks allows to fail; ${flat}`,
  },
  { layerCase: "hardlink-to-file-with-whiteout", peers: storage, how: "refuses", what: "no such file, or: file exists", right: sameLayer },
  {
    layerCase: "hardlink-own-attributes",
    peers: storage,
    how: "differs",
    what: "gives the file the attributes in the link's header",
    right: "layer.md#hardlinks: one file, several names; its entry says its attributes. So GNU tar, libarchive, umoci",
  },
  {
    layerCase: "times",
    peers: storage,
    how: "differs",
    what: "sets times before 1970 to 1970",
    right: "layer.md#file-attributes: mtime is restored where the file system can hold it",
  },
  {
    layerCase: "xattrs",
    peers: ["umoci", "vfs", "overlay"],
    how: "differs",
    what: "drops attributes whose value is empty (their tar reader takes an empty PAX value as a deletion)",
    right: "layer.md#file-attributes: extended attributes are restored; GNU tar writes and reads empty ones",
  },
  {
    layerCase: "libarchive-xattrs",
    peers: ["umoci", "vfs", "overlay"],
    how: "differs",
    what: "drops them",
    right: "Open: layer.md names no PAX key for extended attributes; restoring what the archive says is the safer reading",
  },
  {
    layerCase: "opaque-through-lower-symlink",
    peers: ["vfs"],
    how: "differs",
    what: "looks for what is to be hidden below the link's own name",
    right: flat,
  },
  { layerCase: "opaque-through-lower-symlink", peers: ["overlay"], how: "differs", what: "puts a directory over the link", right: flat },
  {
    layerCase: "contiguous-file",
    peers: ["umoci", "vfs", "overlay"],
    how: "refuses",
    what: "unknown type flag 7",
    right: "POSIX ustar: to be read as a regular file",
  },
];

/** The peers that take no image with this case. */
export function refusedBy(layerCase: string): PeerName[] {
  return knownDifferences.filter((each) => each.layerCase === layerCase && each.how === "refuses").flatMap((each) => [...each.peers]);
}

/**
 * Whether a difference between our tree (left) and a peer's (right) is in the table or follows from a general rule:
 * the root's own attributes are unspecified (manifest.md), and a directory whose time lies after `startedNanos`, the start
 * of the peer's run, had that time from the peer's work and not from the image.
 */
export function isKnownDifference(difference: TreeDifference, peer: PeerName, startedNanos: bigint): boolean {
  if (difference.path === ".") return true;
  if (
    difference.field === "mtimeNanos" &&
    BigInt(difference.right ?? 0) >= startedNanos &&
    BigInt(difference.right ?? 0) < startedNanos + dayNanos
  ) {
    return true;
  }
  return knownDifferences.some((each) => {
    const base = caseDirectory(each.layerCase);
    return each.peers.includes(peer) && (difference.path === base || difference.path.startsWith(`${base}/`));
  });
}

const dayNanos = 86_400_000_000_000n;
