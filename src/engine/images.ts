/** Images on this machine: listed, found, and their layers unpacked. */
import { CodedError } from "#base/errors.ts";
import { blobPath } from "#image/blob/paths.ts";
import type { Image } from "#image/image.ts";
import { getImage, listImages, type StoredImage, type StoredOther } from "#image/images.ts";
import type { ImageLayout } from "#image/layout.ts";
import { formatPlatform } from "#spec/platform.ts";
import type { ImageSummary, LoadRequest } from "./requests.ts";
import type { Place } from "./place.ts";
import { isUnpackedFrom, unpackStack, type LayerSource, type UnpackOptions } from "./rootfs/layers.ts";
import { readFileChunks } from "#sys/file-chunks.ts";

/** Most bytes of one unpacked layer unless told otherwise: more than any real layer, less than would fill most disks by accident. */
export const defaultMaxLayerBytes = 256 * 2 ** 30;

/** A row per name; an image without one has a row as well. */
export function namesOf(image: { readonly names: readonly string[] }): readonly (string | undefined)[] {
  return image.names.length === 0 ? [undefined] : image.names;
}

/** Unpacks the layers of `image` that are missing, in a temporary place that is gone afterwards. */
export async function unpack(place: Place, image: Image, request: Pick<LoadRequest, "maxLayerBytes" | "onProgress">): Promise<void> {
  await unpackLayers(place, layerSources(await place.layout(), image), request);
}

/** As unpack, for layers whose bytes may still be on their way. */
export async function unpackLayers(
  place: Place,
  stack: readonly LayerSource[],
  request: Pick<LoadRequest, "maxLayerBytes" | "onProgress">,
): Promise<void> {
  if (stack.every((layer) => isUnpackedFrom(place.paths.layers, layer))) return;
  const temporary = place.makeTemporary();
  try {
    await unpackStack(stack, { layers: place.paths.layers, temporary }, unpackOptions(place, request));
  } finally {
    await place.removeTrees([temporary]);
  }
}

/** Whether all layers of `image` are unpacked. */
export function isUnpacked(place: Place, image: Image): boolean {
  return image.manifest.layers.every((descriptor, index) =>
    isUnpackedFrom(place.paths.layers, { chainId: image.chainIds[index] ?? "", descriptor }),
  );
}

/** Limits and ports of unpacking for a request. */
export function unpackOptions(place: Place, request: Pick<LoadRequest, "maxLayerBytes" | "onProgress">): UnpackOptions {
  return {
    maxLayerBytes: request.maxLayerBytes ?? defaultMaxLayerBytes,
    openStream: (output) => place.openStream(output),
    onProgress: (layer, index, doneBytes) =>
      request.onProgress?.({
        kind: "layer",
        digest: layer.descriptor.digest,
        index: index.at,
        count: index.of,
        doneBytes,
        totalBytes: layer.descriptor.size,
      }),
  };
}

/** The layers of an image, lowest first, as unpacking takes them. */
export function layerSources(layout: ImageLayout, image: Image): LayerSource[] {
  return image.manifest.layers.map((descriptor, index) => ({
    chainId: image.chainIds[index] ?? "",
    diffId: image.config.rootfs.diff_ids[index] ?? "",
    descriptor,
    // Whoever applies a layer verifies it against its descriptor; once is enough.
    open: () => readFileChunks(blobPath(layout.path, descriptor.digest)),
  }));
}

/** All images, one row per name; with `all`, what is no image for this machine too. */
export async function list(place: Place, { all }: { readonly all: boolean } = { all: false }): Promise<ImageSummary[]> {
  if (!place.exists) return [];
  const { images, others } = await listImages(await place.layout());
  const rows = images.flatMap((image) => namesOf(image).map((name) => summarize(image, name)));
  return all ? [...rows, ...others.flatMap((other) => namesOf(other).map((name) => summarizeOther(other, name)))] : rows;
}

/** Finds an image. @throws CodedError `not-found` */
export async function find(place: Place, reference: string): Promise<StoredImage> {
  if (!place.exists)
    throw new CodedError(
      "not-found",
      `cannot find image ${reference}: nothing is stored at ${place.paths.root} (gantry load puts images there)`,
    );
  return await getImage(await place.layout(), reference);
}

function summarizeOther(other: StoredOther, name: string | undefined): ImageSummary {
  const { entry, kind, artifactType, sizeBytes, uniqueBytes } = other;
  const shown = entry.platform === undefined ? (artifactType ?? "") : formatPlatform(entry.platform);
  return {
    name,
    id: entry.digest,
    manifestDigest: entry.digest,
    createdAt: undefined,
    sizeBytes,
    uniqueBytes,
    labels: {},
    kind,
    platform: shown,
  };
}

/** The row of an image. */
export function summarize(
  image: Image & { readonly sizeBytes?: number; readonly uniqueBytes?: number },
  name: string | undefined,
): ImageSummary {
  const created = image.config.created === undefined ? undefined : new Date(image.config.created);
  return {
    name,
    id: image.id,
    manifestDigest: image.descriptor.digest,
    createdAt: created,
    sizeBytes: image.sizeBytes ?? sizeOf(image),
    uniqueBytes: image.uniqueBytes ?? sizeOf(image),
    labels: image.config.config.Labels ?? {},
    kind: "image",
    platform: platformOf(image),
  };
}

function sizeOf(image: Image): number {
  const blobs = new Map([image.descriptor, image.manifest.config, ...image.manifest.layers].map(({ digest, size }) => [digest, size]));
  return [...blobs.values()].reduce((sum, size) => sum + size, 0);
}

/** The platform that an image's config says, as text. */
export function platformOf({ config }: Image): string {
  return formatPlatform({
    os: config.os,
    architecture: config.architecture,
    ...(config.variant === undefined ? {} : { variant: config.variant }),
  });
}
