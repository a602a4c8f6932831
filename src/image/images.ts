/** The images of the store as people see them: listed, found by name or id, named and removed. */
import { CodedError } from "#base/errors.ts";
import type { Digest } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { formatReference, parseReference, withDefaultTag } from "#spec/reference.ts";
import { hostPlatform } from "#spec/platform.ts";
import { putName, takeImage, takeName } from "./entries.ts";
import { readImage, selectManifest, type Image } from "./image.ts";
import { nameOf, type ImageLayout } from "./layout.ts";
import { matchName, namesNear } from "./match.ts";
import { collectGarbageLocked, type Collection } from "./reachable.ts";

/** An image in the store. */
export interface StoredImage extends Image {
  /** Whole references; none for a dangling image. */
  readonly names: readonly string[];
  /** What index.json points at: the manifest, or an index that another tool put there. */
  readonly entry: Digest;
  /** Bytes of its layers as they are stored. */
  readonly sizeBytes: number;
}

/** The images of the store and what could not be read of it. */
export interface ImageListing {
  /** In the order of index.json. */
  readonly images: readonly StoredImage[];
  /** Entries whose documents are damaged or are no image of this platform. */
  readonly unreadable: readonly { readonly entry: Digest; readonly names: readonly string[]; readonly error: CodedError }[];
}

/** Lists all images; one damaged image does not hide the others. */
export async function listImages(layout: ImageLayout): Promise<ImageListing> {
  const { manifests } = await layout.readIndex();
  const images: StoredImage[] = [];
  const unreadable: { entry: Digest; names: readonly string[]; error: CodedError }[] = [];
  for (const entry of distinct(manifests)) {
    try {
      images.push(await readStored(layout, entry, manifests));
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      unreadable.push({ entry: entry.digest, names: namesOf(manifests, entry.digest), error });
    }
  }
  return { images, unreadable };
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

/** Gives the image that `text` means one more name; an image that had it loses it. */
export async function tagImage(layout: ImageLayout, text: string, name: string): Promise<void> {
  const reference = withDefaultTag(parseReference(name));
  if (reference.digest !== undefined)
    throw new CodedError("invalid-argument", `cannot name an image ${JSON.stringify(name)}: a name must not have a digest`);
  await layout.withLock(async () => {
    const image = await getImage(layout, text);
    await layout.updateIndexLocked((entries) => {
      const entry = entries.find(({ digest }) => digest === image.entry);
      return entry === undefined ? entries : putName(entries, entry, formatReference(reference));
    });
  });
}

/** How an image is removed. */
export interface RemoveOptions {
  /** Remove an image that was named by its id although it has several names. */
  readonly force?: boolean;
  /** Manifests whose blobs stay, because containers use them. */
  readonly keep?: readonly Descriptor[];
}

/** What a removal did. */
export interface Removal {
  readonly untagged: readonly string[];
  /** Id of the image when it is gone; undefined when it has other names. */
  readonly removed: Digest | undefined;
  readonly collection: Collection;
}

/**
 * Removes a name, and with its last name the image; an id removes the image with its name.
 *
 * @throws CodedError `not-found`; `wrong-state` for the id of an image with several names, without `force`.
 */
export async function removeImage(layout: ImageLayout, text: string, options: RemoveOptions = {}): Promise<Removal> {
  return layout.withLock(async () => {
    const named = matchName((await layout.readIndex()).manifests, text);
    if (named?.name !== undefined) return removeName(layout, { name: named.name, entry: named.entry }, options);
    const image = await getImage(layout, text);
    if (image.names.length > 1 && options.force !== true) {
      throw new CodedError("wrong-state", `cannot remove image ${text}: it has several names: ${image.names.join(", ")}`);
    }
    await layout.updateIndexLocked((entries) => takeImage(entries, image.entry));
    return { untagged: image.names, removed: image.id, collection: await collectGarbageLocked(layout, options.keep ?? []) };
  });
}

/** Works without reading the image, so that a damaged one can be removed. */
async function removeName(
  layout: ImageLayout,
  { name, entry }: { name: string; entry: Descriptor },
  { keep = [] }: RemoveOptions,
): Promise<Removal> {
  const id = await readImage(layout.blobs, entry).then(
    (image) => image.id,
    () => entry.digest,
  );
  let isLast = false;
  await layout.updateIndexLocked((entries) => {
    isLast = !entries.some((other) => other.digest === entry.digest && nameOf(other) !== name);
    return isLast ? takeImage(entries, entry.digest) : takeName(entries, name);
  });
  return { untagged: [name], removed: isLast ? id : undefined, collection: await collectGarbageLocked(layout, keep) };
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
  const sizeBytes = image.manifest.layers.reduce((sum, layer) => sum + layer.size, 0);
  return { ...image, names: namesOf(manifests, entry.digest), entry: entry.digest, sizeBytes };
}

function namesOf(manifests: readonly Descriptor[], digest: Digest): string[] {
  return manifests.flatMap((entry) => (entry.digest === digest ? (nameOf(entry) ?? []) : []));
}

function distinct(manifests: readonly Descriptor[]): Descriptor[] {
  return [...new Map(manifests.map((entry) => [entry.digest, entry])).values()];
}
