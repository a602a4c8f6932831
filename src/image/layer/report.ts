/**
 * What each layer of an image does, read from the layers alone: the files that it adds, changes and deletes, and what it costs.
 *
 * Bytes are wasted when a later layer replaces or deletes the file that they are: they are stored and loaded, and nobody sees them.
 */
import { displayByteString, type ByteString } from "#base/byte-string.ts";
import { CodedError } from "#base/errors.ts";
import { TarReader, type TarVisitor } from "../tar/read.ts";
import type { TarHeader } from "../tar/header.ts";
import { decompressLayer } from "./decompress.ts";
import type { LayerLimits } from "./compile.ts";
import type { LayerContent } from "./content.ts";
import { classifyName } from "./names.ts";

/** One path that a layer has something to say about. */
export interface LayerFile {
  readonly change: "added" | "changed" | "deleted";
  readonly path: ByteString;
  readonly isDirectory: boolean;
  /** Bytes of a regular file; of all that went with a deleted path. */
  readonly sizeBytes: number;
}

/** What one layer does. */
export interface LayerContents {
  /** Sorted by path; directories that are as before are left out. */
  readonly files: readonly LayerFile[];
  readonly archiveBytes: number;
  readonly entries: number;
  /** Bytes of this layer's files that later layers hide. */
  readonly wastedBytes: number;
}

/** A path of the image as the layers so far make it. */
interface Node {
  children: Map<string, Node> | undefined;
  layer: number;
  size: number;
  /** What a directory's entry said last: an entry that says the same again is no change. */
  attributes: string;
}

/** Reads all layers, lowest first; the limits are for each of them. @throws CodedError `corrupt`, `invalid-spec`, `exhausted` */
export async function readLayerContents(layers: readonly LayerContent[], limits: LayerLimits): Promise<LayerContents[]> {
  const tree = new ImageTree(layers.length);
  const found: Omit<LayerContents, "wastedBytes">[] = [];
  for (const [index, { descriptor, open }] of layers.entries()) {
    const visitor = new LayerVisitor(tree, index, limits);
    const reader = new TarReader(visitor);
    let archiveBytes = 0;
    for await (const chunk of decompressLayer(open(), descriptor.mediaType)) {
      archiveBytes += chunk.length;
      if (archiveBytes > limits.maxBytes)
        throw new CodedError("exhausted", `cannot read layer ${descriptor.digest}: unpacked it has more than ${limits.maxBytes} bytes`);
      reader.push(chunk);
    }
    reader.end();
    found.push({ files: visitor.files(), archiveBytes, entries: visitor.entries });
  }
  return found.map((layer, index) => ({ ...layer, wastedBytes: tree.wasted[index] ?? 0 }));
}

class ImageTree {
  readonly root: Node = { children: new Map(), layer: -1, size: 0, attributes: "" };
  readonly wasted: number[];
  /** How many directories were made because something lies in them. */
  implied = 0;

  constructor(layers: number) {
    this.wasted = Array.from({ length: layers }, () => 0);
  }

  find(path: string): Node | undefined {
    let node: Node | undefined = this.root;
    for (const name of path === "" ? [] : path.split("/")) node = node?.children?.get(name);
    return node;
  }

  /** The directory at `path`, made where it is missing. */
  ensure(path: string, layer: number): Node {
    let node = this.root;
    for (const name of path === "" ? [] : path.split("/")) {
      node.children ??= new Map();
      let child = node.children.get(name);
      if (child === undefined) {
        child = { children: new Map(), layer, size: 0, attributes: "" };
        node.children.set(name, child);
        this.implied++;
      }
      node = child;
    }
    return node;
  }

  /** Counts as wasted what lower layers have at `node` and below, and takes it away; returns its bytes. */
  hide(node: Node, layer: number): number {
    let bytes = 0;
    if (node.layer < layer && node.layer >= 0) {
      this.wasted[node.layer] = (this.wasted[node.layer] ?? 0) + node.size;
      bytes += node.size;
      node.size = 0;
      // What is left of it is this layer's: hidden again, it must not be looked through again.
      node.layer = layer;
    }
    for (const [name, child] of node.children ?? []) {
      const isLower = child.layer < layer;
      bytes += this.hide(child, layer);
      if (isLower && (child.children === undefined || child.children.size === 0)) node.children?.delete(name);
    }
    return bytes;
  }
}

class LayerVisitor implements TarVisitor {
  entries = 0;
  readonly #tree: ImageTree;
  readonly #layer: number;
  readonly #limits: LayerLimits;
  readonly #impliedBefore: number;
  readonly #files = new Map<string, LayerFile>();
  /** Directories that hide what lower layers have in them. Saying so again changes nothing. */
  readonly #opaque = new Set<string>();

  constructor(tree: ImageTree, layer: number, limits: LayerLimits) {
    this.#tree = tree;
    this.#layer = layer;
    this.#limits = limits;
    this.#impliedBefore = tree.implied;
  }

  /** @throws CodedError `exhausted`: what is read here costs memory, as in `LayerCompiler` */
  entry(header: TarHeader): void {
    this.entries++;
    const name = classifyName(header.path);
    if (name.kind === "entry") this.#put(header, name.path);
    else if (name.kind === "whiteout") this.#delete(name.directory, name.name);
    else if (name.kind === "opaque" && !this.#opaque.has(name.directory)) {
      this.#opaque.add(name.directory);
      for (const child of this.#tree.find(name.directory)?.children?.keys() ?? []) this.#delete(name.directory, child as ByteString);
    }
    if (this.entries + this.#tree.implied - this.#impliedBefore > this.#limits.maxEntries)
      throw new CodedError(
        "exhausted",
        `cannot read entry "${displayByteString(header.path)}": the layer has more than ${this.#limits.maxEntries} entries`,
      );
  }

  data(): void {}

  endEntry(): void {}

  files(): LayerFile[] {
    return [...this.#files.values()].sort((one, other) => (one.path < other.path ? -1 : 1));
  }

  #put(header: TarHeader, path: ByteString): void {
    if (path === "") return;
    const slash = path.lastIndexOf("/");
    const parent = this.#tree.ensure(path.slice(0, Math.max(slash, 0)), this.#layer);
    parent.children ??= new Map();
    const before = parent.children.get(path.slice(slash + 1));
    const isDirectory = header.kind === "directory";
    const attributes = isDirectory ? [header.mode, header.uid, header.gid, header.seconds, header.nanos].join() : "";
    const isSame = isDirectory && before?.children !== undefined && before.attributes === attributes;
    const wasThere = before !== undefined && (before.layer < this.#layer || this.#files.get(path)?.change !== "added");
    if (before !== undefined && (!isDirectory || before.children === undefined)) this.#tree.hide(before, this.#layer);
    const kept = isDirectory ? (before?.children ?? new Map<string, Node>()) : undefined;
    const size = header.kind === "file" ? header.size : 0;
    parent.children.set(path.slice(slash + 1), { children: kept, layer: this.#layer, size, attributes });
    if (!isSame) this.#files.set(path, { change: wasThere ? "changed" : "added", path, isDirectory, sizeBytes: size });
  }

  #delete(directory: ByteString, name: ByteString): void {
    const parent = this.#tree.find(directory);
    const node = parent?.children?.get(name);
    if (node === undefined || node.layer >= this.#layer) return;
    const path = (directory === "" ? name : `${directory}/${name}`) as ByteString;
    const isDirectory = node.children !== undefined;
    const sizeBytes = this.#tree.hide(node, this.#layer);
    if (node.children === undefined || node.children.size === 0) parent?.children?.delete(name);
    this.#files.set(path, { change: "deleted", path, isDirectory, sizeBytes });
  }
}
