/**
 * Where images go: a layout, an archive, the store, a registry. The counterpart of source/source.ts; copy.ts moves between them.
 *
 * The order of calls is: blobs and documents, each after all that it refers to; then `finish`, once, which gives the names. Until then no
 * image of this copy has a name, so whoever looks sees all of it or nothing.
 */
import type { Descriptor } from "#spec/image.ts";
import type { BlobContent, BlobProgress } from "./blob/store.ts";

/** An image as it is called in the target; `SourceImage` has this form. */
export interface NamedImage {
  /** Whole references; none for an image that stays without a name. */
  readonly names: readonly string[];
  /** A name that is only a tag, for targets that hold one repository's images (layouts, archives of them). */
  readonly tag: string | undefined;
  /** What the name points at: a manifest or an index. */
  readonly descriptor: Descriptor;
}

/** What became of a blob. */
export type PutOutcome = "copied" | "present" | "mounted";

/** A place that takes images. Everything that enters is verified against its descriptor. */
export interface ImageTarget extends AsyncDisposable {
  /** What it is, for sentences: `the image layout /tmp/x`. */
  readonly description: string;
  /** False where layers of nondistributable types are not to be uploaded (registries). SPEC: layer.md, "Non-Distributable Layers". */
  readonly takesNondistributable: boolean;
  /** How many blobs it takes at once; any number unless it says so. Archives take one. */
  readonly concurrency?: number;

  /**
   * True when the content is here. For a manifest or index it means more: all that it reaches is here, too. A target that cannot
   * promise that says false, and is then asked for each part.
   */
  has(blob: Descriptor): Promise<boolean>;

  /** Stores a config or layer; the content is not read when the blob is here. @throws CodedError `corrupt` */
  putBlob(blob: Descriptor, content: BlobContent, progress?: BlobProgress): Promise<PutOutcome>;

  /** Stores a manifest or index, byte for byte; what it refers to is here already. The bytes are verified by the caller. */
  putDocument(document: Descriptor, bytes: Uint8Array): Promise<PutOutcome>;

  /**
   * Gives the images their names and completes the target (writes the end of an archive, the index of a layout).
   *
   * @param referrers manifests that were stored because their subject is one of the images, under the digest of that subject.
   */
  finish(images: readonly NamedImage[], referrers?: ReadonlyMap<string, readonly Descriptor[]>): Promise<void>;
}
