/** Where images come from other than a registry: a layout directory or an archive, read without trusting it. */
import type { Digest } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import type { BlobContent, OpenRequest } from "../blob/store.ts";

/** An image as its source offers it. */
export interface SourceImage {
  /** Whole references (`debian:12`) that the source has for it. */
  readonly names: readonly string[];
  /** A name that is only a tag, as layouts of one image have it; it needs a name before it. */
  readonly tag: string | undefined;
  /** What index.json calls it, as it stands there (org.opencontainers.image.ref.name); none where there is no index.json. */
  readonly labels?: readonly string[];
  /** A manifest, or an index of them. */
  readonly descriptor: Descriptor;
}

/** A place of images. Nothing that it gives is verified; whoever stores or parses it does that. */
export interface ImageSource extends AsyncDisposable {
  /** What it is, for sentences: `the docker archive /tmp/x.tar`. */
  readonly description: string;
  /** What it offers; a registry, which is opened for one reference, offers that one. */
  readonly images: readonly SourceImage[];
  /** The bytes that the source has under `digest`, or undefined when it has none. */
  size(digest: Digest): Promise<number | undefined>;
  open(digest: Digest, request?: OpenRequest): AsyncIterable<Uint8Array>;
  /** @see BlobReader */
  readSmall?(digest: Digest, maxBytes: number): Uint8Array | undefined;
  /** The cheapest way to hand the content to a store. Nothing is fetched before it is read. */
  content(digest: Digest): BlobContent;
  /**
   * The manifests here that say `digest` is their subject: signatures, lists of contents, attestations. A place that knows no such
   * thing leaves it out. @see distribution-spec "Listing Referrers"
   */
  referrers?(digest: Digest): Promise<readonly Descriptor[]>;
}
