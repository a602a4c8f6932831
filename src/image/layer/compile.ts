/**
 * The layer compiler: tar entries in, ops out, one after another.
 *
 * The ops mean the same on an empty directory (a base layer), on a copy of the lower layers and on an overlay mount of
 * them, where the kernel makes the whiteouts. Nothing here touches a file system: each path is resolved by the kernel,
 * below the directory that the executor has entered.
 */
import { displayByteString, type ByteString } from "#base/byte-string.ts";
import { CodedError, type ErrorCode } from "#base/errors.ts";
import { encodeOp, type Op } from "#program/ops.gen.ts";
import type { RecordWriter } from "#program/record-writer.ts";
import type { TarHeader } from "../tar/header.ts";
import type { TarVisitor } from "../tar/read.ts";
import { writeFileData } from "./file-data.ts";
import { childPath, MadeTree, type MadeDirectory } from "./made.ts";
import { classifyName, normalisePath, splitName, type LayerName } from "./names.ts";
import { withoutPrivileges } from "./unprivileged.ts";
import { findXattrFault, isIgnoredXattr } from "./xattrs.ts";

/** How much one layer may ask for. */
export interface LayerLimits {
  /** Bytes of the uncompressed archive. */
  readonly maxBytes: number;
  /** Entries, whiteouts included, and directories that only the names of entries imply. */
  readonly maxEntries: number;
  /** Bytes of names, link targets and extended attributes, all of which cost memory here. Default: 1 GiB. */
  readonly maxMetadataBytes?: number;
}

/** What the compiler must know of a layer. */
export interface CompileOptions {
  /** True when there is nothing below: whiteouts then have nothing to hide. */
  readonly base: boolean;
  readonly limits: LayerLimits;
  /** The index of the first op that is compiled here: as many ops are in the program before. */
  readonly firstOp: number;
  /** Make what somebody without privileges can: see `withoutPrivileges`. */
  readonly unprivileged?: boolean;
}

const defaultMaxMetadataBytes = 1 << 30;
const rootPath = "." as ByteString;

/** S_IF* of the kinds that `node` makes (stat.h). */
const nodeKinds = { character: 0o020000, block: 0o060000, fifo: 0o010000 } as const;

/** Compiles one layer. The messages of its errors begin with the entry; the caller puts the layer before it. */
export class LayerCompiler implements TarVisitor {
  readonly #writer: RecordWriter;
  readonly #options: CompileOptions;
  readonly #made: MadeTree;
  readonly #maxMetadataBytes: number;
  /** The path that each op is about: for the sentence when it fails. */
  readonly #opPaths: ByteString[] = [];
  #entries = 0;
  /** Directories that have no entry but something in them: one name can ask for two thousand of them. */
  #impliedDirectories = 0;
  #metadataBytes = 0;
  /** The entry under way; undefined while its data and attributes are to be dropped. */
  #entry: { readonly header: TarHeader; readonly path: ByteString } | undefined;

  constructor(writer: RecordWriter, options: CompileOptions) {
    this.#writer = writer;
    this.#options = options;
    this.#made = new MadeTree(options.base);
    this.#maxMetadataBytes = options.limits.maxMetadataBytes ?? defaultMaxMetadataBytes;
  }

  /** Entries seen so far. */
  get entries(): number {
    return this.#entries;
  }

  /** Ops written so far. */
  get ops(): number {
    return this.#opPaths.length;
  }

  /** Names what op `index` of the program is about: `entry "usr/bin/x"`; undefined for an op that is not from here. */
  describeOp(index: number): string | undefined {
    const path = this.#opPaths[index - this.#options.firstOp];
    return path === undefined ? undefined : describeEntry(path);
  }

  /** @throws CodedError `invalid-spec`, `exhausted` */
  entry(header: TarHeader): void {
    this.#entry = undefined;
    this.#count(header);
    const name = classifyName(header.path);
    if (name.kind === "entry") this.#put(this.#options.unprivileged === true ? withoutPrivileges(header) : header, name.path);
    else this.#hide(header, name);
  }

  data(bytes: Uint8Array, offset: number): void {
    if (this.#entry === undefined) return;
    writeFileData(this.#writer, bytes, { offset, fileSize: this.#entry.header.size });
  }

  endEntry(): void {
    if (this.#entry === undefined) return;
    const { header, path } = this.#entry;
    if (header.kind === "file") this.#writer.chunk(header.size, noBytes);
    // After the owner (chown drops file capabilities) and after the data (so does writing).
    for (const xattr of header.xattrs) {
      if (isIgnoredXattr(xattr.name)) continue;
      const xattrFault = findXattrFault(xattr.name, xattr.value);
      if (xattrFault !== undefined) throw fault(header, xattrFault);
      this.#emit({ op: "xattr", path, name: xattr.name, value: xattr.value });
    }
  }

  /** Writes what can only be done when all entries are there: the times of directories. */
  finish(): void {
    for (const { path, directory } of this.#made.touched()) {
      this.#emit({ op: "times", path: opPath(path), seconds: directory.seconds, nanos: directory.nanos });
    }
  }

  #count(header: TarHeader): void {
    this.#entries++;
    this.#checkEntries(header);
    this.#metadataBytes += header.path.length + header.linkPath.length;
    for (const xattr of header.xattrs) this.#metadataBytes += xattr.name.length + xattr.value.length;
    if (this.#metadataBytes > this.#maxMetadataBytes) {
      throw fault(header, `the layer's names and attributes have more than ${this.#maxMetadataBytes} bytes`, "exhausted");
    }
  }

  #checkEntries(header: TarHeader): void {
    const { maxEntries } = this.#options.limits;
    if (this.#entries + this.#impliedDirectories > maxEntries)
      throw fault(header, `the layer has more than ${maxEntries} entries`, "exhausted");
  }

  #put(header: TarHeader, path: ByteString): void {
    if (path === "") return this.#putRoot(header);
    const { directory, name } = splitName(path);
    const { directory: parent, made } = this.#made.ensure(directory);
    if (made > 0) {
      this.#impliedDirectories += made;
      this.#checkEntries(header);
      this.#emit({ op: "parents", path: directory });
    }
    // A directory without an entry of its own belongs to a lower layer: what is made in it must not change its time.
    const keepParent = parent.kind === "explicit" ? 0 : 1;
    if (header.kind === "directory") {
      parent.touched = true;
      return this.#putDirectory(header, path, { ...this.#made.setDirectory(parent, name), keepParent });
    }
    if (header.kind === "hardlink" && !this.#checkHardlink(header, path)) return;
    parent.touched = true;
    this.#made.setOther(parent, name);
    this.#emit(this.#opFor(header, path, keepParent));
    // What a hard link's header says of the inode is its target's entry to say.
    if (header.kind !== "hardlink") this.#entry = { header, path };
  }

  /** Its kind is not the layer's to choose: a symbolic link as the root would lead out. */
  #putRoot(header: TarHeader): void {
    if (header.kind !== "directory") throw fault(header, `the root of a layer is a directory, not a ${header.kind}`);
    const { root } = this.#made;
    const isRepeated = root.kind === "explicit";
    root.kind = "explicit";
    root.touched = false;
    this.#putDirectory(header, rootPath, { directory: root, isRepeated, keepParent: 0 });
  }

  #putDirectory(header: TarHeader, path: ByteString, made: { directory: MadeDirectory; isRepeated: boolean; keepParent: number }): void {
    const { mode, uid, gid, seconds, nanos } = header;
    made.directory.seconds = seconds;
    made.directory.nanos = nanos;
    this.#emit({ op: "directory", path, mode, uid, gid, seconds, nanos, keepParent: made.keepParent });
    // SPEC: layer.md#applying-changesets: attributes are replaced, so those of a directory that was there must go.
    if (!this.#options.base || made.isRepeated) this.#emit({ op: "clear-xattrs", path });
    this.#entry = { header, path };
  }

  #opFor(header: TarHeader, path: ByteString, keepParent: number): LayerOp {
    const { kind, mode, uid, gid, seconds, nanos, size, major, minor } = header;
    switch (kind) {
      case "file":
        return { op: "file", path, mode, uid, gid, seconds, nanos, size, keepParent };
      case "symlink":
        if (header.linkPath === "") throw fault(header, "it is a symbolic link without a target");
        return { op: "symlink", path, target: header.linkPath, uid, gid, seconds, nanos, keepParent };
      case "hardlink":
        return { op: "hardlink", path, target: hardlinkTarget(header), keepParent };
      case "character":
        // KERNEL: overlayfs takes such a device for a whiteout; a layer has other means to say so.
        if (major === 0 && minor === 0) throw fault(header, "it is a character device 0:0, which overlayfs takes for a whiteout");
        return { op: "node", path, mode: nodeKinds.character | mode, major, minor, uid, gid, seconds, nanos, keepParent };
      case "block":
      case "fifo":
        return { op: "node", path, mode: nodeKinds[kind] | mode, major, minor, uid, gid, seconds, nanos, keepParent };
      case "directory":
        throw new CodedError("internal", "broken assumption: directories are put elsewhere");
    }
  }

  /**
   * False for a link to itself that changes nothing: GNU tar writes one when it is told a file twice.
   * @throws CodedError `invalid-spec`
   */
  #checkHardlink(header: TarHeader, path: ByteString): boolean {
    if (hardlinkTarget(header) !== path) return true;
    // Run as an op, it would remove the file that it links to.
    if (this.#made.find(path).kind === "other") return false;
    throw fault(header, "it is a hard link to itself");
  }

  #hide(header: TarHeader, name: Exclude<LayerName, { kind: "entry" }>): void {
    if (name.kind === "refused") throw fault(header, name.fact);
    if (name.kind === "skipped" || this.#options.base) return;
    const within = this.#made.find(name.directory);
    // Where this layer has something else, nothing of a lower one can be seen through that name.
    if (within.kind === "other") return;
    const directory = within.kind === "directory" ? within.directory : undefined;
    // The mark lies in the directory, so its name leads through a lower layer's link; a whiteout names the link itself.
    if (name.kind === "opaque") return this.#clear(name.directory, directory, { follow: 1 });
    const path = childPath(name.directory, name.name);
    const own = directory?.children.get(name.name);
    if (own !== undefined) {
      if (own.kind !== "through") this.#clear(path, own, { follow: 0 });
      return;
    }
    if (directory?.lowerGone === true || directory?.children.has(name.name) === true) return;
    if (directory !== undefined) directory.touched = true;
    this.#emit({ op: "remove", path, keepParent: directory?.kind === "explicit" ? 0 : 1 });
  }

  /**
   * Removes what lower layers have in the directory `path`, but keeps what this layer has made there, and looks into
   * the directories among that: they too may be joined with lower ones.
   */
  #clear(path: ByteString, directory: MadeDirectory | undefined, { follow }: { follow: 0 | 1 }): void {
    if (directory === undefined) return this.#emit({ op: "clear", path: opPath(path), keep: [], follow, keepTimes: 1 });
    const open = [{ path, directory, follow }];
    for (let place = open.pop(); place !== undefined; place = open.pop()) {
      // What was cleared once stays so: many whiteouts of one directory cost no more than one.
      if (place.directory.lowerGone) continue;
      place.directory.lowerGone = true;
      place.directory.touched = true;
      this.#emitClear(place);
      for (const [name, child] of place.directory.children) {
        if (child === undefined) continue;
        if (child.kind === "through") child.lowerGone = true;
        else open.push({ path: childPath(place.path, name), directory: child, follow: 0 });
      }
    }
  }

  #emitClear({ path, directory, follow }: { path: ByteString; directory: MadeDirectory; follow: 0 | 1 }): void {
    const keep = [...directory.children.keys()];
    try {
      this.#emit({ op: "clear", path: opPath(path), keep, follow, keepTimes: directory.kind === "explicit" ? 0 : 1 });
    } catch (error) {
      if (!(error instanceof CodedError) || error.code !== "exhausted") throw error;
      const fact = `it is hidden after ${keep.length} names were made in it; a whiteout must come first in so large a directory`;
      throw new CodedError("exhausted", `${describeEntry(opPath(path))}: ${fact}`, { cause: error });
    }
  }

  #emit(op: LayerOp): void {
    this.#opPaths.push(op.path);
    encodeOp(this.#writer, op);
  }
}

/** The ops whose path is a file name of a layer. */
type LayerOp = Extract<Op, { readonly path: ByteString }>;

const noBytes = new Uint8Array(0);

/** What ops call the directory `path`: the root has no name of its own. */
function opPath(path: ByteString): ByteString {
  return path === "" ? rootPath : path;
}

function hardlinkTarget(header: TarHeader): ByteString {
  const target = normalisePath(header.linkPath);
  if (target.kind === "refused")
    throw fault(
      header,
      `it is a hard link to ${JSON.stringify(displayByteString(header.linkPath))}: ${target.fact.replace("its", "that")}`,
    );
  if (target.path === "") throw fault(header, "it is a hard link to the root");
  return target.path;
}

function describeEntry(path: ByteString): string {
  return `entry "${displayByteString(path)}"`;
}

function fault(header: TarHeader, fact: string, code: ErrorCode = "invalid-spec"): CodedError {
  return new CodedError(code, `${describeEntry(header.path)}: ${fact}`);
}
