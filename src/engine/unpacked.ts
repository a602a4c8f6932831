/** The layers of images, unpacked on this machine. */
import { blobPath } from "#image/blob/paths.ts";
import type { Image } from "#image/image.ts";
import type { ImageLayout } from "#image/layout.ts";
import type { LoadRequest } from "./requests.ts";
import type { Place } from "./place.ts";
import { isUnpackedFrom, unpackStack, type LayerSource, type UnpackOptions } from "./rootfs/layers.ts";

/** Most bytes of one unpacked layer unless told otherwise: more than any real layer, less than would fill most disks by accident. */
export const defaultMaxLayerBytes = 256 * 2 ** 30;

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
    open: () => readChunks(blobPath(layout.path, descriptor.digest)),
  }));
}

/** Loaded on use: a start of a container whose layers are there reads none. */
async function* readChunks(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  const { readFileChunks } = await import("#sys/file-chunks.ts");
  yield* readFileChunks(path);
}
