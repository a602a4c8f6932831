/** Where images lie: the store, or an image layout of somebody's (`oci:DIRECTORY[:TAG]`). */
import { join, resolve } from "node:path";
import { CodedError } from "#base/errors.ts";
import { blobPath } from "#image/blob/paths.ts";
import { putName } from "#image/entries.ts";
import { readImage, selectManifest, type Image } from "#image/image.ts";
import { getImage } from "#image/images.ts";
import { ImageLayout, nameOf, openLayout, requireLayout, type WithLock } from "#image/layout.ts";
import type { StoredLayer } from "#image/layer/store.ts";
import { parseImagePlace } from "#image/transport.ts";
import type { Descriptor } from "#spec/image.ts";
import { hostPlatform, parsePlatform } from "#spec/platform.ts";
import { formatReference, isTag, parseReference, withDefaultTag } from "#spec/reference.ts";
import { pathExists } from "#sys/small-files.ts";
import type { Place } from "../place.ts";

/** A place of images that can be read and written. */
export interface ImageHome {
  /** `store`, or `oci:` and an absolute path. */
  readonly name: string;
  readonly layout: ImageLayout;
}

/** What somebody typed: a place, and a name in it; without one the only image is meant. */
export interface ImageAddress {
  readonly home: ImageHome;
  readonly reference: string | undefined;
}

/** An image and where it was found. */
export interface HomedImage {
  readonly home: ImageHome;
  readonly image: Image;
}

/** Opens the place that `text` names. With `create` a layout that is not there is made. @throws CodedError `not-found`, `invalid-spec` */
export async function openAddress(place: Place, text: string, options: { readonly create: boolean }): Promise<ImageAddress> {
  if (text === "") return { home: { name: "store", layout: await place.layout() }, reference: undefined };
  const parsed = parseImagePlace(text);
  if (parsed.transport === "store") return { home: { name: "store", layout: await place.layout() }, reference: parsed.name };
  if (parsed.transport !== "oci")
    throw new CodedError(
      "unsupported",
      `cannot work on ${text}: it is neither in the store nor in a layout (gantry copy brings it to one)`,
    );
  const path = resolve(parsed.path);
  if (!options.create) await requireLayout(path);
  const layout = options.create ? await openLayout(path, lockOf(place, path)) : new ImageLayout(path, lockOf(place, path));
  return { home: { name: `oci:${path}`, layout }, reference: parsed.digest ?? parsed.name };
}

/** Finds the image that `text` names. @throws CodedError `not-found`, `invalid-argument` when a layout has several and none is named */
export async function findHomed(place: Place, text: string, platform?: string): Promise<HomedImage> {
  const { home, reference } = await openAddress(place, text, { create: false });
  if (home.name === "store") {
    const stored = await getImage(home.layout, reference ?? "");
    const entry = { ...stored.descriptor, digest: stored.entry };
    return { home, image: platform === undefined ? stored : await readFor(home, await entryOf(home, entry.digest), platform) };
  }
  return { home, image: await readFor(home, await findEntry(home, reference), platform) };
}

async function readFor(home: ImageHome, entry: Descriptor, platform: string | undefined): Promise<Image> {
  const wanted = platform === undefined ? hostPlatform() : parsePlatform(platform);
  return await readImage(home.layout.blobs, await selectManifest(home.layout.blobs, entry, wanted));
}

async function entryOf(home: ImageHome, digest: string): Promise<Descriptor> {
  const entry = (await home.layout.readIndex()).manifests.find((candidate) => candidate.digest === digest);
  if (entry === undefined) throw new CodedError("not-found", `cannot find ${digest} in ${home.name}: it has just been removed`);
  return entry;
}

async function findEntry(home: ImageHome, reference: string | undefined): Promise<Descriptor> {
  const { manifests } = await home.layout.readIndex();
  const offered = [...new Set(manifests.map((entry) => nameOf(entry) ?? entry.digest))].join(", ");
  if (reference === undefined) {
    const [only, ...others] = manifests;
    if (only !== undefined && others.length === 0) return only;
    throw new CodedError(
      "invalid-argument",
      `cannot find the image of ${home.name}: it has ${manifests.length}${offered === "" ? "" : `: ${offered}`}`,
    );
  }
  const found = manifests.filter((entry) => nameOf(entry) === reference || entry.digest === reference);
  const [first] = found;
  if (first === undefined)
    throw new CodedError("not-found", `cannot find ${reference} in ${home.name}: it has ${offered === "" ? "no images" : offered}`);
  if (new Set(found.map(({ digest }) => digest)).size > 1)
    throw new CodedError("invalid-argument", `cannot find ${reference} in ${home.name}: ${found.length} images have that name`);
  return first;
}

/** Gives `image` the name of `address`; checks nothing else. @throws CodedError `invalid-argument` for what is no name */
export async function nameImage(address: ImageAddress, image: Descriptor): Promise<string | undefined> {
  const name = nameIn(address);
  await address.home.layout.updateIndex((entries) => putName(entries, image, name));
  return name;
}

/** The name that an image gets at `address`: whole in the store, as it was typed in a layout. */
export function nameIn({ home, reference }: ImageAddress): string | undefined {
  if (reference === undefined) return undefined;
  if (home.name !== "store" && isTag(reference)) return reference;
  const parsed = withDefaultTag(parseReference(reference));
  if (parsed.digest !== undefined)
    throw new CodedError("invalid-argument", `cannot name an image ${JSON.stringify(reference)}: a name must not have a digest`);
  return home.name === "store" ? formatReference(parsed) : reference;
}

/** Brings the layers of `image` into another place, sharing the files' blocks where that can be. */
export async function bringLayers(from: ImageHome, to: ImageHome, layers: readonly Descriptor[]): Promise<void> {
  if (from.layout.path === to.layout.path) return;
  for (const layer of layers) await to.layout.blobs.put({ path: blobPath(from.layout.path, layer.digest) }, layer);
}

/** A layer as the documents of an image name it. */
export function partOf({ descriptor, diffId }: StoredLayer): { descriptor: Descriptor; diffId: string } {
  return { descriptor, diffId };
}

/** Other tools lock nothing; we lock the one file that is never replaced. */
function lockOf(place: Place, path: string): WithLock {
  return async (work) => {
    place.prepare();
    const file = join(path, "oci-layout");
    return pathExists(file) ? await place.withFileLocked(file, work) : await work();
  };
}
