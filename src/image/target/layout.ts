/** Images into an image layout: the store, or a directory that other tools read. */
import { mkdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { CodedError, isErrno } from "#base/errors.ts";
import { encodeJson } from "#base/json.ts";
import { digestOf, type Digest } from "#spec/digest.ts";
import { descriptorToJson, type Descriptor } from "#spec/image.ts";
import { documentKind, mediaTypes } from "#spec/media-type.ts";
import { linkLock } from "../blob/claim.ts";
import type { BlobContent, BlobProgress } from "../blob/store.ts";
import { putName } from "../entries.ts";
import { nameOf, openLayout, withName, type ImageLayout, type Lease } from "../layout.ts";
import { readReferrers, referrersTag } from "../referrers.ts";
import type { ImageTarget, NamedImage, PutOutcome } from "../target.ts";

/** What kind of layout it is. */
export interface LayoutTargetOptions {
  /**
   * `store`: names are whole references, and an image that loses its last name stays without one. `directory`: names are what the user
   * wrote, a tag mostly, and an image whose name goes to another is no longer listed, as with skopeo.
   */
  readonly kind: "store" | "directory";
}

/** Opens `layout` for images. In a store, a lease keeps what is put from being collected until the target is disposed. */
export async function openLayoutTarget(layout: ImageLayout, options: LayoutTargetOptions): Promise<ImageTarget> {
  const isStore = options.kind === "store";
  return new LayoutTarget(layout, { lease: isStore ? await layout.lease() : undefined, isStore });
}

/** Opens the layout in the directory `path`, which is made when nothing is there. @throws CodedError `invalid-spec` */
export async function openDirectoryTarget(path: string): Promise<ImageTarget> {
  await mkdir(path, { recursive: true });
  return await openLayoutTarget(await openLayout(path, linkLock(join(path, ".lock"))), { kind: "directory" });
}

class LayoutTarget implements ImageTarget {
  readonly description: string;
  readonly takesNondistributable = true;
  readonly #layout: ImageLayout;
  readonly #lease: Lease | undefined;
  readonly #isStore: boolean;

  constructor(layout: ImageLayout, { lease, isStore }: { lease: Lease | undefined; isStore: boolean }) {
    this.description = isStore ? "the store" : `the image layout ${layout.path}`;
    this.#layout = layout;
    this.#lease = lease;
    this.#isStore = isStore;
  }

  /** Never for documents: SPEC: image-layout.md lets blobs be missing, so a manifest says nothing about its layers. */
  async has(blob: Descriptor): Promise<boolean> {
    const kind = documentKind(blob.mediaType);
    return kind !== "manifest" && kind !== "index" && (await this.#layout.blobs.size(blob.digest)) === blob.size;
  }

  async putBlob(blob: Descriptor, content: BlobContent, progress?: BlobProgress): Promise<PutOutcome> {
    if ((await this.#layout.blobs.size(blob.digest)) === blob.size) return "present";
    // A file of the store is never shared with a stranger, who could write to it after it was verified.
    const shared = "path" in content && !this.#isStore ? { ...content, link: true } : content;
    await this.#layout.blobs.put(shared, blob, progress);
    return "copied";
  }

  async putDocument(document: Descriptor, bytes: Uint8Array): Promise<PutOutcome> {
    return await this.putBlob(document, bytes);
  }

  async finish(images: readonly NamedImage[], referrers: ReadonlyMap<string, readonly Descriptor[]> = new Map()): Promise<void> {
    await this.#layout.updateIndex(async (entries) => {
      let changed = entries;
      for (const image of images) changed = this.#put(changed, image);
      for (const [subject, found] of referrers) changed = await this.#putReferrers(changed, subject as Digest, found);
      return changed;
    });
  }

  #put(entries: readonly Descriptor[], { names, tag, descriptor }: NamedImage): readonly Descriptor[] {
    if (this.#isStore)
      return [undefined, ...names].slice(names.length === 0 ? 0 : 1).reduce((rest, name) => putName(rest, descriptor, name), entries);
    const labels = tag === undefined ? names : [tag, ...names];
    if (labels.length === 0)
      return entries.some((entry) => entry.digest === descriptor.digest) ? entries : [...entries, withName(descriptor, undefined)];
    const kept = entries.filter(
      (entry) => !labels.includes(nameOf(entry) ?? "") && !(entry.digest === descriptor.digest && nameOf(entry) === undefined),
    );
    return [...kept, ...labels.map((label) => withName(descriptor, label))];
  }

  /** SPEC: distribution-spec, "Referrers Tag Schema": an index under a name made of the subject's digest. Layouts have nothing better. */
  async #putReferrers(entries: readonly Descriptor[], subject: Digest, found: readonly Descriptor[]): Promise<readonly Descriptor[]> {
    const before = await readReferrers(this.#layout.blobs, entries, subject);
    const added = found.filter((referrer) => !before.some((one) => one.digest === referrer.digest));
    if (added.length === 0) return entries;
    const bytes = encodeJson({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [...before, ...added].map(descriptorToJson) });
    const { digest, size } = await this.#layout.blobs.put(bytes, { digest: digestOf(bytes), size: bytes.length });
    const name = referrersTag(subject);
    return [...entries.filter((entry) => nameOf(entry) !== name), withName({ mediaType: mediaTypes.index, digest, size }, name)];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lease?.release();
    // Our own directory is of no use to others.
    if (!this.#isStore) await removeIfEmpty(join(this.#layout.path, "tmp"));
  }
}

async function removeIfEmpty(directory: string): Promise<void> {
  try {
    await rmdir(directory);
  } catch (error) {
    if (!["ENOENT", "ENOTEMPTY", "EEXIST"].some((code) => isErrno(error, code)))
      throw new CodedError("internal", String(error), { cause: error });
  }
}
