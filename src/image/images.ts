/** The images of the store as people see them: listed with their sizes, found by name or id. */
import { CodedError } from "#base/errors.ts";
import type { Digest } from "#spec/digest.ts";
import type { Descriptor, Manifest } from "#spec/image.ts";
import { hostPlatform } from "#spec/platform.ts";
import { isContainerImage, readDocument, readImage, selectManifest, type Image } from "./image.ts";
import { nameOf, type ImageLayout } from "./layout.ts";
import { matchName, namesNear } from "./match.ts";
import { findReachable } from "./reachable.ts";
import { isReferrersTag } from "./referrers.ts";

/** An image in the store. */
export interface StoredImage extends Image {
  /** Whole references; none for a dangling image. */
  readonly names: readonly string[];
  /** What index.json points at: the manifest, or an index of several platforms' manifests. */
  readonly entry: Digest;
  /** Bytes of all that the entry needs, as it is stored: documents and layers, of all platforms that are here. */
  readonly sizeBytes: number;
  /** How much of that no other entry needs: what removing it would free. */
  readonly uniqueBytes: number;
}

/** An entry that is no image for a container here. */
export interface StoredOther {
  readonly entry: Descriptor;
  readonly names: readonly string[];
  /** `index`: of other platforms only; `referrers`: the list of what refers to an image. */
  readonly kind: "artifact" | "index" | "referrers";
  readonly artifactType: string | undefined;
  readonly sizeBytes: number;
  readonly uniqueBytes: number;
}

/** The images of the store and what could not be read of it. */
export interface ImageListing {
  /** In the order of index.json. */
  readonly images: readonly StoredImage[];
  readonly others: readonly StoredOther[];
  /** Entries whose documents are damaged or missing. */
  readonly unreadable: readonly { readonly entry: Digest; readonly names: readonly string[]; readonly error: CodedError }[];
}

/** Lists all images; one damaged image does not hide the others. */
export async function listImages(layout: ImageLayout): Promise<ImageListing> {
  const { manifests } = await layout.readIndex();
  const images: ReadImage[] = [];
  const others: ReadOther[] = [];
  const unreadable: { entry: Digest; names: readonly string[]; error: CodedError }[] = [];
  for (const entry of distinct(manifests)) {
    const names = namesOf(manifests, entry.digest);
    try {
      const read = await readEntry(layout, entry);
      if ("manifest" in read) images.push({ ...read, names, entry: entry.digest });
      else others.push({ ...read, names, entry });
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      unreadable.push({ entry: entry.digest, names, error });
    }
  }
  const sizes = measure([...images, ...others].map(({ blobs }) => blobs));
  const measured = ({ blobs }: Measured): { sizeBytes: number; uniqueBytes: number } =>
    sizes.get(blobs) ?? { sizeBytes: 0, uniqueBytes: 0 };
  return {
    images: images.map(({ blobs, ...image }) => ({ ...image, ...measured({ blobs }) })),
    others: others.map(({ blobs, ...other }) => ({ ...other, ...measured({ blobs }) })),
    unreadable,
  };
}

/**
 * The sizes of one entry, as a listing has them, without reading the configs of all. What damaged entries share with it is unknown, and not
 * counted.
 *
 * @throws CodedError when the entry itself is damaged
 */
export async function measureEntry(
  layout: ImageLayout,
  entry: Descriptor,
): Promise<{ readonly sizeBytes: number; readonly uniqueBytes: number }> {
  const shared = new Set<Digest>();
  for (const other of distinct((await layout.readIndex()).manifests)) {
    if (other.digest === entry.digest) continue;
    const blobs = await readBlobSizes(layout, other).catch(ignoreDamage);
    for (const digest of blobs?.keys() ?? []) shared.add(digest);
  }
  let [sizeBytes, uniqueBytes] = [0, 0];
  for (const [digest, size] of await readBlobSizes(layout, entry)) {
    sizeBytes += size;
    if (!shared.has(digest)) uniqueBytes += size;
  }
  return { sizeBytes, uniqueBytes };
}

function ignoreDamage(error: unknown): undefined {
  if (!(error instanceof CodedError)) throw error;
}

async function readBlobSizes(layout: ImageLayout, entry: Descriptor): Promise<BlobSizes> {
  if (isReferrersTag(nameOf(entry) ?? "")) return await listBlobs(layout, entry, undefined);
  const document = await readDocument(layout.blobs, entry);
  const isImage = document.kind === "manifest" && isContainerImage(document);
  return isImage ? imageBlobs(entry, document) : await listBlobs(layout, entry, undefined);
}

/**
 * Finds the image that `text` means: a name (`debian` is `debian:latest`), `name@digest`, an image id or the beginning of one.
 *
 * Names come before ids. A name without a domain also finds the one image that has it after a domain (`debian` finds
 * `example.org/library/debian:latest`), so that images saved by other tools answer to what people call them.
 *
 * @throws CodedError `not-found`, offering near names; `invalid-argument` when several images are meant.
 */
export async function getImage(layout: ImageLayout, text: string): Promise<StoredImage> {
  const { manifests } = await layout.readIndex();
  const named = matchName(manifests, text);
  if (named !== undefined) return readStored(layout, named.entry, manifests);
  const byId = await findById(layout, text);
  if (byId !== undefined) return byId;
  const near = namesNear(manifests, text);
  throw new CodedError(
    "not-found",
    `cannot find image ${text}: there is none of that name or id${near.length === 0 ? "" : ` (there is ${near.join(", ")})`}`,
  );
}

/** An entry of index.json with all its names: an image, an index of images, an artifact. */
export interface StoredEntry {
  readonly descriptor: Descriptor;
  readonly names: readonly string[];
}

/** Finds the entry that `text` means, as getImage does, but whatever it is: nothing of it is read when it is meant by its name. */
export async function getEntry(layout: ImageLayout, text: string): Promise<StoredEntry> {
  const { manifests } = await layout.readIndex();
  const named = matchName(manifests, text);
  if (named !== undefined) return { descriptor: named.entry, names: namesOf(manifests, named.entry.digest) };
  const byDigest = manifests.find(({ digest }) => digest === text);
  if (byDigest !== undefined) return { descriptor: byDigest, names: namesOf(manifests, byDigest.digest) };
  const image = await getImage(layout, text);
  const entry = manifests.find(({ digest }) => digest === image.entry) ?? image.descriptor;
  return { descriptor: entry, names: image.names };
}

async function findById(layout: ImageLayout, text: string): Promise<StoredImage | undefined> {
  const [, hex] = /^(?:sha256:)?([0-9a-f]{1,64})$/.exec(text) ?? [];
  if (hex === undefined) return undefined;
  const { images } = await listImages(layout);
  const found = images.filter((image) =>
    [image.id, image.descriptor.digest, image.entry].some((digest) => digest.startsWith(`sha256:${hex}`)),
  );
  const ids = new Set(found.map((image) => image.id));
  if (ids.size > 1) throw new CodedError("invalid-argument", `cannot find image ${text}: ${ids.size} images have ids that begin so`);
  return found[0];
}

async function readStored(layout: ImageLayout, entry: Descriptor, manifests: readonly Descriptor[]): Promise<StoredImage> {
  const image = await readImage(layout.blobs, await selectManifest(layout.blobs, entry, hostPlatform()));
  const blobs = await listBlobs(layout, entry, image);
  const sizeBytes = [...blobs.values()].reduce((sum, size) => sum + size, 0);
  // One image alone does not tell what it shares: that takes a look at all of them (listImages).
  return { ...image, names: namesOf(manifests, entry.digest), entry: entry.digest, sizeBytes, uniqueBytes: sizeBytes };
}

type BlobSizes = ReadonlyMap<Digest, number>;

interface Measured {
  readonly blobs: BlobSizes;
}

type ReadImage = Omit<StoredImage, "sizeBytes" | "uniqueBytes"> & Measured;
type ReadOther = Omit<StoredOther, "sizeBytes" | "uniqueBytes"> & Measured;

async function readEntry(
  layout: ImageLayout,
  entry: Descriptor,
): Promise<(Image & Measured) | (Pick<StoredOther, "kind" | "artifactType"> & Measured)> {
  if (isReferrersTag(nameOf(entry) ?? ""))
    return { kind: "referrers", artifactType: undefined, blobs: await listBlobs(layout, entry, undefined) };
  const document = await readDocument(layout.blobs, entry);
  if (document.kind === "manifest" && !isContainerImage(document)) {
    return {
      kind: "artifact",
      artifactType: document.artifactType ?? document.config.mediaType,
      blobs: await listBlobs(layout, entry, undefined),
    };
  }
  const selected = document.kind === "manifest" ? entry : await findManifest(layout, entry);
  if (selected === undefined)
    return { kind: "index", artifactType: document.artifactType, blobs: await listBlobs(layout, entry, undefined) };
  const image = await readImage(layout.blobs, selected, document.kind === "manifest" ? document : undefined);
  return { ...image, blobs: await listBlobs(layout, entry, image) };
}

/** The manifest for this machine; undefined when the index has none, or lists one that is not here. */
async function findManifest(layout: ImageLayout, entry: Descriptor): Promise<Descriptor | undefined> {
  try {
    const selected = await selectManifest(layout.blobs, entry, hostPlatform());
    return (await layout.blobs.size(selected.digest)) === undefined ? undefined : selected;
  } catch (error) {
    if (error instanceof CodedError && (error.code === "not-found" || error.code === "unsupported")) return undefined;
    throw error;
  }
}

/** The blobs that the entry needs and that are here. Of a single image everything is known; an index is walked. */
async function listBlobs(layout: ImageLayout, entry: Descriptor, image: Image | undefined): Promise<BlobSizes> {
  if (image !== undefined && image.descriptor.digest === entry.digest) return imageBlobs(image.descriptor, image.manifest);
  const blobs = new Map<Digest, number>();
  for (const digest of await findReachable(layout.blobs, [entry])) {
    const size = await layout.blobs.size(digest);
    if (size !== undefined) blobs.set(digest, size);
  }
  return blobs;
}

function imageBlobs(entry: Descriptor, { config, layers }: Manifest): BlobSizes {
  return new Map([entry, config, ...layers].map(({ digest, size }) => [digest, size]));
}

function measure(entries: readonly BlobSizes[]): Map<BlobSizes, { sizeBytes: number; uniqueBytes: number }> {
  const users = new Map<Digest, number>();
  for (const blobs of entries) for (const digest of blobs.keys()) users.set(digest, (users.get(digest) ?? 0) + 1);
  return new Map(
    entries.map((blobs) => {
      let [sizeBytes, uniqueBytes] = [0, 0];
      for (const [digest, size] of blobs) {
        sizeBytes += size;
        if (users.get(digest) === 1) uniqueBytes += size;
      }
      return [blobs, { sizeBytes, uniqueBytes }];
    }),
  );
}

/** All names of the entries with this digest. */
export function namesOf(manifests: readonly Descriptor[], digest: Digest): string[] {
  return manifests.flatMap((entry) => (entry.digest === digest ? (nameOf(entry) ?? []) : []));
}

function distinct(manifests: readonly Descriptor[]): Descriptor[] {
  return [...new Map(manifests.map((entry) => [entry.digest, entry])).values()];
}
