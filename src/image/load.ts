/**
 * Loading images from a file or directory into the store.
 *
 *     source -> choose manifest (platform) -> read and check manifest and config -> store layers, config, manifest -> name
 *
 * Names are written last and together, when all blobs that they reach are here and verified. A name points at the manifest
 * of one platform; an index that led to it is not kept. Blobs of a load that failed are verified but
 * unreachable, and the next collection takes them.
 */
import { CodedError } from "#base/errors.ts";
import { shortDigest, verifyBytes, type Digest } from "#spec/digest.ts";
import type { Descriptor } from "#spec/image.ts";
import { documentKind } from "#spec/media-type.ts";
import { formatReference, parseReference, withDefaultTag } from "#spec/reference.ts";
import { formatPlatform, hostPlatform, platformDistance, selectPlatform, type Platform } from "#spec/platform.ts";
import { putName } from "./entries.ts";
import { readImage, selectManifest, type Image } from "./image.ts";
import type { ImageLayout } from "./layout.ts";
import type { ImageSource, SourceImage } from "./source/source.ts";

/** Which images are loaded and what they are called. */
export interface LoadOptions {
  /** Which images of indexes are taken: the host's unless told. When it is told, no image for another platform is taken at all. */
  readonly platform?: Platform;
  /** Only the images that have one of these names in the source; all unless told. */
  readonly only?: readonly string[];
  /** Names for the image, instead of those that it has in the source, which must then offer one image. */
  readonly names?: readonly string[];
  /**
   * The name before the tag of an image that has only a tag in the source; without it such an image stays without a name.
   * A "tag" that is this very name is taken for the name: some tools write the one there and some the other.
   */
  readonly fallbackName?: string;
  /** Images of more layers are refused before anything of them is stored. */
  readonly maxLayers?: number;
  /** Awaited for each image when its blobs are stored and before anything gets a name; when it fails, nothing does. */
  readonly prepare?: (image: Image) => Promise<void>;
  /** Told about each blob while it is stored. */
  readonly progress?: (blob: Descriptor, doneBytes: number) => void;
}

/** An image that is in the store now. */
export interface LoadedImage extends Image {
  /** Its names in the store, with their tags; none when the source had none. */
  readonly names: readonly string[];
}

/**
 * Loads images; either all that were asked for get their names or none does.
 *
 * @throws CodedError `not-found` when `only` or the platform matches nothing or a blob is missing; `corrupt`, `invalid-spec`, `unsupported`.
 */
export async function loadImages(layout: ImageLayout, source: ImageSource, options: LoadOptions = {}): Promise<LoadedImage[]> {
  const chosen = chooseImages(source, options);
  const lease = await layout.lease();
  try {
    const loaded: LoadedImage[] = [];
    for (const image of chosen)
      loaded.push({ ...(await storeImage(layout, source, { descriptor: image.descriptor, options })), names: namesFor(image, options) });
    for (const image of loaded) await options.prepare?.(image);
    await layout.updateIndex((entries) => loaded.reduce((rest, image) => putNames(rest, image), entries));
    return loaded;
  } finally {
    await lease.release();
  }
}

function putNames(entries: readonly Descriptor[], image: LoadedImage): readonly Descriptor[] {
  if (image.names.length === 0) return putName(entries, image.descriptor, undefined);
  return image.names.reduce((rest, name) => putName(rest, image.descriptor, name), entries);
}

function chooseImages(source: ImageSource, options: LoadOptions): readonly SourceImage[] {
  const { only, names } = options;
  const wanted = only?.map(normalName);
  const suitable = source.images.filter((image) => isImageEntry(image) && isBestOfName(source, image, options));
  const chosen = wanted === undefined ? suitable : suitable.filter((image) => image.names.some((name) => wanted.includes(name)));
  const missing = wanted?.find((name) => !source.images.some((image) => image.names.includes(name)));
  if (missing !== undefined)
    throw new CodedError("not-found", `cannot find ${missing} in ${source.description}: it has ${offeredBy(source)}`);
  if (chosen.length === 0) throw new CodedError("not-found", `cannot load ${source.description}: it has no images`);
  if (names !== undefined && chosen.length > 1) {
    throw new CodedError(
      "invalid-argument",
      `cannot name the image of ${source.description}: it has ${chosen.length} images: ${offeredBy(source)}`,
    );
  }
  return chosen;
}

/** Layouts may hold signatures, attestations and whatever comes: only what can be an image is loaded. */
function isImageEntry({ descriptor }: SourceImage): boolean {
  return (documentKind(descriptor.mediaType) ?? "config") !== "config" && descriptor.artifactType === undefined;
}

/** Some tools list the images of several platforms under one name without an index; one name of two images is an error otherwise. */
function isBestOfName(source: ImageSource, image: SourceImage, options: LoadOptions): boolean {
  const labels = ({ names, tag }: SourceImage): readonly string[] => [...names, ...(tag === undefined ? [] : [`:${tag}`])];
  const twins = source.images.filter((other) => labels(other).some((label) => labels(image).includes(label)));
  if (twins.length <= 1) return true;
  if (twins.some((twin) => twin.descriptor.platform === undefined)) {
    throw new CodedError(
      "invalid-spec",
      `cannot load ${source.description}: it has ${twins.length} images of the name ${labels(image)[0]}`,
    );
  }
  return (
    selectPlatform(
      twins.map(({ descriptor }) => descriptor),
      options.platform ?? hostPlatform(),
    ) === image.descriptor
  );
}

function offeredBy(source: ImageSource): string {
  const names = source.images.flatMap((image) => image.names);
  return names.length === 0 ? "no names" : names.slice(0, 20).join(", ");
}

function namesFor(image: SourceImage, { names, fallbackName }: LoadOptions): readonly string[] {
  if (names !== undefined) return names.map(normalName);
  if (image.names.length > 0 || image.tag === undefined || fallbackName === undefined) return image.names;
  return [normalName(image.tag === fallbackName ? fallbackName : `${fallbackName}:${image.tag}`)];
}

/** `text` with its tag. @throws CodedError `invalid-argument` for what is no name, or has a digest. */
function normalName(text: string): string {
  const reference = withDefaultTag(parseReference(text));
  if (reference.digest !== undefined)
    throw new CodedError("invalid-argument", `cannot name an image ${JSON.stringify(text)}: a name must not have a digest`);
  return formatReference(reference);
}

async function storeImage(
  layout: ImageLayout,
  source: ImageSource,
  { descriptor, options }: { descriptor: Descriptor; options: LoadOptions },
): Promise<Image> {
  const selected = await selectManifest(source, descriptor, options.platform ?? hostPlatform());
  // Documents are read and checked before the first large blob is touched.
  const image = await readImage(source, selected);
  if (options.platform !== undefined && platformDistance(options.platform, image.config) === undefined) {
    throw new CodedError(
      "not-found",
      `cannot find an image for ${formatPlatform(options.platform)} in ${source.description}: ${selected.digest} is for ${formatPlatform(image.config)}`,
    );
  }
  requireStackable(image, options.maxLayers ?? Number.POSITIVE_INFINITY);
  const stored = new Set<Digest>();
  for (const blob of [...image.manifest.layers, image.manifest.config, image.descriptor]) {
    if (stored.has(blob.digest)) continue;
    stored.add(blob.digest);
    await storeBlob(layout, source, { blob, options });
  }
  return image;
}

/** What the manifest alone tells to be wrong: too many layers, and embedded data that is not what its digest says. */
function requireStackable({ manifest, id }: Image, maxLayers: number): void {
  if (manifest.layers.length > maxLayers) {
    throw new CodedError(
      "unsupported",
      `cannot load image ${shortDigest(id)}: it has ${manifest.layers.length} layers, more than ${maxLayers}`,
    );
  }
  // SPEC: descriptor.md: `data` must be the content. @throws `corrupt`
  for (const { data, digest, size } of [manifest.config, ...manifest.layers])
    if (data !== undefined) verifyBytes(Buffer.from(data, "base64"), { digest, size });
}

async function storeBlob(
  layout: ImageLayout,
  source: ImageSource,
  { blob, options }: { blob: Descriptor; options: LoadOptions },
): Promise<void> {
  const size = (await layout.blobs.size(blob.digest)) ?? (await source.size(blob.digest));
  if (size === undefined)
    throw new CodedError("not-found", `cannot load ${blob.digest}: ${source.description} does not have it`, {
      details: { digest: blob.digest },
    });
  if (size !== blob.size) throw new CodedError("corrupt", `cannot load ${blob.digest}: it has ${size} bytes, not ${blob.size} bytes`);
  await layout.blobs.put(source.content(blob.digest), blob, (doneBytes) => options.progress?.(blob, doneBytes));
}
