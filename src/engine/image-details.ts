/** All that is known about one image. */
import { join } from "node:path";
import { CodedError } from "#base/errors.ts";
import { readDocument } from "#image/image.ts";
import { getEntry, getImage, measureEntry, type StoredImage } from "#image/images.ts";
import { readReferrers } from "#image/referrers.ts";
import { descriptorToJson, type Descriptor } from "#spec/image.ts";
import { formatPlatform } from "#spec/platform.ts";
import { pathExists } from "#sys/small-files.ts";
import type { HistoryStep } from "./requests.ts";
import { find, platformOf } from "./images.ts";
import type { Place } from "./place.ts";
import { layerDirectory } from "./rootfs/layers.ts";

/** What `inspect` shows of an image, an index for other platforms, or an artifact. */
export async function inspect(place: Place, reference: string): Promise<Record<string, unknown>> {
  if (!place.exists) await find(place, reference);
  const layout = await place.layout();
  const entry = await getEntry(layout, reference);
  const image = await getImage(layout, reference).catch((error: unknown) => {
    if (error instanceof CodedError && (error.code === "unsupported" || error.code === "not-found")) return undefined;
    throw error;
  });
  const { manifests } = await layout.readIndex();
  const referrers = await readReferrers(layout.blobs, manifests, entry.descriptor.digest);
  const document = await readDocument(layout.blobs, entry.descriptor);
  const { uniqueBytes, sizeBytes } = await measureEntry(layout, entry.descriptor);
  return {
    ...(image === undefined ? { id: entry.descriptor.digest, names: entry.names } : describeImage(place, image)),
    mediaType: entry.descriptor.mediaType,
    sizeBytes,
    uniqueBytes,
    ...(document.kind === "index" ? { index: { digest: entry.descriptor.digest, manifests: document.manifests.map(describeEntry) } } : {}),
    ...(image === undefined ? { document: { ...document, kind: undefined } } : { annotations: image.manifest.annotations }),
    referrers: referrers.map(descriptorToJson),
    ...(image === undefined ? {} : { config: image.config }),
  };
}

function describeImage(place: Place, image: StoredImage): Record<string, unknown> {
  const { config, manifest } = image;
  const layers = manifest.layers.map((layer, index) => ({
    digest: layer.digest,
    diffId: config.rootfs.diff_ids[index],
    chainId: image.chainIds[index],
    mediaType: layer.mediaType,
    sizeBytes: layer.size,
    isUnpacked: pathExists(join(layerDirectory(place.paths.layers, image.chainIds[index] ?? ""), "layer.json")),
    ...(layer.annotations === undefined ? {} : { annotations: layer.annotations }),
    ...(layer.urls === undefined ? {} : { urls: layer.urls }),
  }));
  return {
    id: image.id,
    names: image.names,
    digest: image.descriptor.digest,
    platform: platformOf(image),
    createdAt: config.created,
    author: config.author,
    layers,
  };
}

function describeEntry(entry: Descriptor): Record<string, unknown> {
  const { digest, mediaType, size, platform, annotations, artifactType } = entry;
  return {
    digest,
    mediaType,
    sizeBytes: size,
    ...(platform === undefined ? {} : { platform: formatPlatform(platform) }),
    artifactType,
    annotations,
  };
}

/** How an image came about, newest step first. */
export async function history(place: Place, reference: string): Promise<HistoryStep[]> {
  const image = await find(place, reference);
  const layers = [...image.manifest.layers];
  const steps = image.config.history.map((step): HistoryStep => {
    const layer = step.empty_layer === true ? undefined : layers.shift();
    return {
      createdAt: step.created === undefined ? undefined : new Date(step.created),
      createdBy: step.created_by ?? "",
      comment: step.comment ?? "",
      author: step.author ?? "",
      sizeBytes: layer?.size ?? 0,
      layer: layer?.digest,
    };
  });
  // SPEC: config.md: the history is optional, and some tools leave steps out.
  const untold = layers.map(({ digest, size }) => ({
    createdAt: undefined,
    createdBy: "",
    comment: "",
    author: "",
    sizeBytes: size,
    layer: digest,
  }));
  return [...steps, ...untold].reverse();
}
