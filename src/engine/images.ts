/** Images on this machine, listed and found. */
import { CodedError } from "#base/errors.ts";
import type { Image } from "#image/image.ts";
import { getImage, listImages, type StoredImage, type StoredOther } from "#image/images.ts";
import { formatPlatform } from "#spec/platform.ts";
import type { ImageSummary } from "./requests.ts";
import type { Place } from "./place.ts";

/** A row per name; an image without one has a row as well. */
export function namesOf(image: { readonly names: readonly string[] }): readonly (string | undefined)[] {
  return image.names.length === 0 ? [undefined] : image.names;
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
