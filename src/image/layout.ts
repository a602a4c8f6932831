/**
 * The image store: an OCI image layout that other tools can read as it lies, plus `tmp/` for work under way.
 *
 *     oci-layout  index.json  blobs/ALGORITHM/ENCODED  tmp/OWNER  tmp/lease-OWNER
 *
 * An image's name is the annotation org.opencontainers.image.ref.name of an entry of index.json; here it is a whole
 * reference with its tag. An entry without it is an image that lost its name ("dangling").
 *
 * Who may do what at once:
 * - Reading needs no lock: index.json is replaced by rename, blobs never change.
 * - Changing index.json and deleting blobs happen under the lock.
 * - Adding blobs needs no lock but a lease (below), taken under the lock before the first look at what is here and kept until
 *   index.json names the blobs. While anybody's lease lives, nothing is collected (reachable.ts).
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import { encodeJson, parseJson, type JsonObject } from "#base/json.ts";
import { parseJsonNode } from "#base/json-node.ts";
import { descriptorToJson, parseIndex, type Descriptor, type Index } from "#spec/image.ts";
import { mediaTypes } from "#spec/media-type.ts";
import { findFile, readFileBounded, writeFileAtomic } from "#sys/fs.ts";
import { listOwned, ownerName, removeLeftBehind } from "#sys/owner.ts";
import { listDirectory } from "#sys/small-files.ts";
import { removeStaleDownloads, type WithLock } from "./blob/claim.ts";
import { DirectoryBlobStore } from "./blob/directory.ts";
import type { BlobStore } from "./blob/store.ts";

export type { WithLock } from "./blob/claim.ts";

/** The annotation that names an entry of index.json. */
export const refNameAnnotation = "org.opencontainers.image.ref.name";

/** index.json may be longer than a manifest: it grows with every image. */
export const indexLimits = { maxBytes: 64 << 20, maxDepth: 32 };

/** Work that needs blobs which nothing names yet. Releasing twice is fine. */
export interface Lease {
  release(): Promise<void>;
}

/** An image layout that is open for reading and writing. */
export class ImageLayout {
  readonly path: string;
  readonly blobs: BlobStore;
  readonly withLock: WithLock;
  #lastIndex: { readonly bytes: Uint8Array; readonly index: Index } | undefined;

  /** Use openLayout. */
  constructor(path: string, withLock: WithLock) {
    this.path = path;
    this.blobs = new DirectoryBlobStore(path, withLock);
    this.withLock = withLock;
  }

  /** The images and their names, as they are at this moment. @throws CodedError `invalid-spec` when index.json is not an index. */
  async readIndex(): Promise<Index> {
    return this.#parseIndex(await readFileBounded(join(this.path, "index.json"), indexLimits.maxBytes));
  }

  /** A command reads index.json several times, with the lock and without: bytes that are those of the last time mean the same. */
  #parseIndex(bytes: Uint8Array): Index {
    const last = this.#lastIndex;
    if (last !== undefined && Buffer.compare(last.bytes, bytes) === 0) return last.index;
    const index = parseIndexFile(bytes, this.path);
    this.#lastIndex = { bytes, index };
    return index;
  }

  /** Replaces the entries of index.json under the lock; its other fields stay. Returning the same list writes nothing. */
  async updateIndex(change: (entries: readonly Descriptor[]) => readonly Descriptor[] | Promise<readonly Descriptor[]>): Promise<void> {
    await this.withLock(() => this.updateIndexLocked(change));
  }

  /** As updateIndex, for a caller who holds the lock already. */
  async updateIndexLocked(
    change: (entries: readonly Descriptor[]) => readonly Descriptor[] | Promise<readonly Descriptor[]>,
  ): Promise<void> {
    const path = join(this.path, "index.json");
    const bytes = await readFileBounded(path, indexLimits.maxBytes);
    const { manifests } = this.#parseIndex(bytes);
    const changed = await change(manifests);
    if (changed === manifests) return;
    const document = parseJson(bytes, `index.json of ${this.path}`, indexLimits) as JsonObject;
    await writeFileAtomic(path, encodeJson({ ...document, manifests: changed.map(descriptorToJson) }));
  }

  /** Keeps every blob from being collected until the release or the end of this process. */
  async lease(): Promise<Lease> {
    const path = join(this.path, "tmp", `lease-${ownerName()}`);
    await this.withLock(() => {
      mkdirSync(join(this.path, "tmp"), { recursive: true });
      writeFileSync(path, "", { flag: "wx" });
      return Promise.resolve();
    });
    return { release: () => Promise.resolve(rmSync(path, { force: true })) };
  }

  /** Removes downloads that nobody went on with for a day, and claims of dead processes. The lock is held and nobody has a lease. */
  removeStaleWork(): void {
    removeStaleDownloads(this.path);
  }

  /** The pids of processes that hold a lease. */
  listLeaseHolders(): readonly number[] {
    const owned = listOwned(join(this.path, "tmp"));
    return owned.filter(({ name, leftBehind }) => name.startsWith("lease-") && !leftBehind).map(({ owner }) => owner.pid);
  }
}

/**
 * Opens the image layout at `path`; makes an empty one where nothing is. What killed processes left in it is removed.
 *
 * @throws CodedError `invalid-spec` when something else is there, or a layout of a version that we do not know.
 */
export async function openLayout(path: string, withLock: WithLock): Promise<ImageLayout> {
  const layout = new ImageLayout(path, withLock);
  try {
    await requireLayout(path);
  } catch (error) {
    if (!(error instanceof CodedError) || error.code !== "not-found") throw error;
    await withLock(() => createLayout(path));
    await requireLayout(path);
  }
  removeLeftBehind(join(path, "tmp"));
  removeLeftBehind(path);
  return layout;
}

/** Checks that `path` is an image layout of a version that can be read. @throws CodedError `not-found`, `invalid-spec` */
export async function requireLayout(path: string): Promise<void> {
  const bytes = await readFileBounded(join(path, "oci-layout"), 1 << 16).catch((cause: unknown) => {
    if (!(cause instanceof CodedError) || cause.code !== "not-found") throw cause;
    throw new CodedError("not-found", `cannot open ${path} as an image layout: it has no file oci-layout`, { cause });
  });
  requireLayoutVersion(bytes, path);
}

/** Checks the content of an `oci-layout` file. SPEC: image-layout.md#oci-layout-file; other fields are allowed. @throws CodedError `invalid-spec` */
export function requireLayoutVersion(bytes: Uint8Array, place: string): void {
  const version = parseJsonNode(bytes, `oci-layout of ${place}`, { maxBytes: 1 << 16 }).get("imageLayoutVersion");
  if (version.string() !== "1.0.0") throw version.fault(`it is ${JSON.stringify(version.value)}; only "1.0.0" can be read`);
}

/** Parses an index.json; `place` is where it lies, for errors. @throws CodedError `invalid-spec` */
export function parseIndexFile(bytes: Uint8Array, place: string): Index {
  return parseIndex(bytes, `index.json of ${place}`, indexLimits);
}

/** The entry's name; undefined when it has none. */
export function nameOf(entry: Descriptor): string | undefined {
  const annotations = entry.annotations ?? {};
  return Object.hasOwn(annotations, refNameAnnotation) ? annotations[refNameAnnotation] : undefined;
}

/** The entry under the name `name`, or without one. */
export function withName(entry: Descriptor, name: string | undefined): Descriptor {
  const { annotations = {}, ...rest } = entry;
  const { [refNameAnnotation]: _old, ...others } = annotations;
  const named = name === undefined ? others : { ...others, [refNameAnnotation]: name };
  return Object.keys(named).length === 0 ? rest : { ...rest, annotations: named };
}

async function createLayout(path: string): Promise<void> {
  const stranger = listDirectory(path).find(
    (name) => !["blobs", "tmp", "oci-layout", "index.json"].includes(name) && !name.startsWith("."),
  );
  if (stranger !== undefined)
    throw new CodedError("invalid-spec", `cannot make an image layout at ${path}: it holds ${JSON.stringify(stranger)}`);
  mkdirSync(join(path, "blobs", "sha256"), { recursive: true });
  mkdirSync(join(path, "tmp"), { recursive: true });
  if ((await findFile(join(path, "index.json"))) === undefined) {
    await writeFileAtomic(join(path, "index.json"), encodeJson({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [] }));
  }
  // Last, because it is what makes the directory a layout.
  await writeFileAtomic(join(path, "oci-layout"), encodeJson({ imageLayoutVersion: "1.0.0" }));
}
