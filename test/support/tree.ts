/**
 * Compares two directory trees field by field, without any code of the product.
 *
 * Names are bytes (one char each), times are nanoseconds, extended attributes come from getfattr. Not compared: inode
 * numbers, access and change times, where the holes of a file are, and the file system's own attributes.
 */
import { createHash } from "node:crypto";
import { spawnSync } from "node:child_process";
import { closeSync, lstatSync, openSync, readSync, readdirSync, readlinkSync, type BigIntStats } from "node:fs";

/** All that is compared of one file; `kind` is a letter as `ls` shows it. */
export interface TreeEntry {
  readonly kind: string;
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNanos: bigint;
  /** Bytes of a regular file or symbolic link; 0 for anything else. */
  readonly size: bigint;
  readonly sha256: string;
  readonly target: string;
  readonly device: string;
  /** All names of the same file, sorted, when there are two or more in the tree. */
  readonly links: string;
  /** `name=0xHEX`, sorted. */
  readonly xattrs: string;
}

/** Entries by path relative to the tree's root, one char per byte; the root itself is ".". */
export type Tree = ReadonlyMap<string, TreeEntry>;

/** One field of one path that differs; a missing path has `undefined` on its side and the field "entry". */
export interface TreeDifference {
  readonly path: string;
  readonly field: keyof TreeEntry | "entry";
  readonly left: string | undefined;
  readonly right: string | undefined;
}

/** Extended attributes that belong to the file system or the kernel's policy, not to the image. */
const foreignXattr = /^(trusted\.overlay\.|user\.overlay\.|security\.selinux=|user\.umoci\.)/;

/** A name that readdir shows and lookup denies: overlayfs does so with a whiteout in a directory that is not merged. */
const unreachable: TreeEntry = {
  kind: "?",
  mode: "",
  uid: -1,
  gid: -1,
  mtimeNanos: 0n,
  size: 0n,
  sha256: "",
  target: "",
  device: "",
  links: "",
  xattrs: "",
};

/** Reads the tree below `directory`. Hard links count only within the tree. */
export function readTree(directory: string): Tree {
  const xattrs = readXattrs(directory);
  const entries = new Map<string, TreeEntry>();
  const names = new Map<string, string[]>();
  const inodes = new Map<string, string>();
  const hashes = new Map<string, string>();
  const visit = (path: string): void => {
    const full = bytes(path === "." ? latin(directory) : `${latin(directory)}/${path}`);
    const stat = lstatSync(full, { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) {
      entries.set(path, unreachable);
      return;
    }
    const inode = `${stat.dev}:${stat.ino}`;
    if (!stat.isDirectory()) {
      names.set(inode, [...(names.get(inode) ?? []), path]);
      inodes.set(path, inode);
    }
    if (stat.isFile() && !hashes.has(inode)) hashes.set(inode, hashFile(full));
    entries.set(path, describe(stat, full, { sha256: hashes.get(inode) ?? "", xattrs: xattrs.get(path) ?? "" }));
    if (!stat.isDirectory()) return;
    const children = readdirSync(full, { encoding: "buffer" }).map((name) => name.toString("latin1"));
    for (const child of children.sort()) visit(path === "." ? child : `${path}/${child}`);
  };
  visit(".");
  for (const [path, entry] of entries) {
    const group = names.get(inodes.get(path) ?? "") ?? [];
    if (group.length > 1) entries.set(path, { ...entry, links: group.sort().join(" = ") });
  }
  return entries;
}

/** Every difference of two trees, by path. `ignore` drops what is known to be unspecified. */
export function compareTrees(left: Tree, right: Tree, ignore: (difference: TreeDifference) => boolean = () => false): TreeDifference[] {
  const found: TreeDifference[] = [];
  for (const path of [...new Set([...left.keys(), ...right.keys()])].sort()) {
    const [one, two] = [left.get(path), right.get(path)];
    if (one === undefined || two === undefined) {
      found.push({ path, field: "entry", left: one && summary(one), right: two && summary(two) });
      continue;
    }
    for (const field of Object.keys(one) as (keyof TreeEntry)[]) {
      if (one[field] !== two[field]) found.push({ path, field, left: String(one[field]), right: String(two[field]) });
    }
  }
  return found.filter((difference) => !ignore(difference));
}

/** One line for people: path, field and both values, with bytes that are not printable escaped. */
export function formatDifference(difference: TreeDifference): string {
  const show = (text: string | undefined): string => (text === undefined ? "(missing)" : printable(text));
  return `${printable(difference.path)}: ${difference.field}: ${show(difference.left)} | ${show(difference.right)}`;
}

/** `text` with control characters, bytes above 126 and backslashes as `\xNN`. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x5b\x5d-\x7e]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

function describe(stat: BigIntStats, path: Buffer, known: { sha256: string; xattrs: string }): TreeEntry {
  const isDevice = stat.isCharacterDevice() || stat.isBlockDevice();
  return {
    kind: kindOf(stat),
    mode: (stat.mode & 0o7777n).toString(8).padStart(4, "0"),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtimeNanos: stat.mtimeNs,
    size: stat.isFile() || stat.isSymbolicLink() ? stat.size : 0n,
    sha256: known.sha256,
    target: stat.isSymbolicLink() ? readlinkSync(path, { encoding: "buffer" }).toString("latin1") : "",
    device: isDevice ? deviceNumbers(stat.rdev) : "",
    links: "",
    xattrs: known.xattrs,
  };
}

function kindOf(stat: BigIntStats): string {
  if (stat.isFile()) return "-";
  if (stat.isDirectory()) return "d";
  if (stat.isSymbolicLink()) return "l";
  if (stat.isCharacterDevice()) return "c";
  if (stat.isBlockDevice()) return "b";
  return stat.isFIFO() ? "p" : "s";
}

/** `major:minor` of a device number as the kernel packs it for user space (12 + 20 bits, interleaved). */
function deviceNumbers(device: bigint): string {
  return `${(device >> 8n) & 0xfffn}:${(device & 0xffn) | ((device >> 12n) & 0xfff00n)}`;
}

function summary(entry: TreeEntry): string {
  return `${entry.kind}${entry.mode} ${entry.uid}:${entry.gid} ${entry.size} bytes`;
}

function hashFile(path: Buffer): string {
  const hash = createHash("sha256");
  const chunk = Buffer.allocUnsafe(1 << 20);
  const descriptor = openSync(path, "r");
  try {
    for (let count = readSync(descriptor, chunk); count > 0; count = readSync(descriptor, chunk)) hash.update(chunk.subarray(0, count));
  } finally {
    closeSync(descriptor);
  }
  return hash.digest("hex");
}

/** Extended attributes of a whole tree by relative path, from one getfattr. */
function readXattrs(directory: string): Map<string, string> {
  const result = spawnSync("getfattr", ["-h", "-R", "-P", "-d", "-m", "-", "-e", "hex", "--", "."], { cwd: directory, maxBuffer: 1 << 30 });
  const complaints = (result.stderr?.toString("latin1") ?? "")
    .split("\n")
    .filter((line) => line !== "" && !line.endsWith("No such file or directory"));
  if (result.error !== undefined || complaints.length > 0) {
    throw new Error(`cannot read extended attributes below ${directory}: ${result.error?.message ?? complaints[0] ?? ""}`);
  }
  const found = new Map<string, string>();
  for (const block of result.stdout.toString("latin1").split("\n\n")) {
    const [first = "", ...lines] = block.split("\n").filter((line) => line !== "");
    if (!first.startsWith("# file: ")) continue;
    const path = unquote(first.slice("# file: ".length)).replace(/^\.\/(?=.)/, "");
    const kept = lines.filter((line) => !foreignXattr.test(line)).sort();
    if (kept.length > 0) found.set(path, kept.join(" "));
  }
  return found;
}

/** Undoes getfattr's quoting: backslash and three octal digits for CR, LF and backslash. */
function unquote(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** A path of one char per byte as the bytes that the kernel gets. */
function bytes(path: string): Buffer {
  return Buffer.from(path, "latin1");
}

/** A path given as text as one char per byte. */
function latin(path: string): string {
  return Buffer.from(path, "utf8").toString("latin1");
}
