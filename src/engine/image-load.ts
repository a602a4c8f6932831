/** Images loaded from files with their layers unpacked, and all that is stored checked. */
import { basename, join } from "node:path";
import { loadImages, type LoadOptions } from "#image/load.ts";
import { openImageSource } from "#image/source/open.ts";
import { verifyLayout } from "#image/verify.ts";
import { parsePlatform } from "#spec/platform.ts";
import { pathExists } from "#sys/small-files.ts";
import type { ImageSummary, LoadRequest } from "./requests.ts";
import { collectUnused } from "./image-removal.ts";
import { namesOf, summarize } from "./images.ts";
import { unpack } from "./unpacked.ts";
import type { Place, Snapshotter } from "./place.ts";
import { layerDirectory, listLayers } from "./rootfs/layers.ts";
import { maxLayers } from "./rootfs/overlay.ts";

/** Loads the images of a file or directory and unpacks their layers; a failure leaves neither name nor layer. */
export async function load(place: Place, request: LoadRequest): Promise<ImageSummary[]> {
  const layout = await place.layout();
  await place.sweep();
  const snapshotter = await place.snapshotter();
  await using source = await openImageSource(request.source, { spoolDirectory: place.paths.temporary });
  try {
    const loaded = await loadImages(layout, source, loadOptions(place, request, snapshotter));
    return loaded.flatMap((image) => namesOf(image).map((name) => summarize(image, name)));
  } catch (error) {
    // What did get here before the fault was found is nobody's now; if it cannot be told, the next removal takes it.
    await collectUnused(place, layout).catch(() => undefined);
    throw error;
  }
}

function loadOptions(place: Place, request: LoadRequest, snapshotter: Snapshotter): LoadOptions {
  return {
    maxLayers,
    ...(request.platform === undefined ? {} : { platform: parsePlatform(request.platform) }),
    ...(request.name === undefined ? {} : { names: [request.name] }),
    ...(typeof request.source === "string" ? { fallbackName: fallbackName(request.source) } : {}),
    progress: (blob, doneBytes) => request.onProgress?.({ kind: "blob", digest: blob.digest, doneBytes, totalBytes: blob.size }),
    // Before the images get their names: a name stands for an image that is verified to the last layer.
    prepare: async (image) => {
      if (snapshotter === "overlay") await unpack(place, image, request);
    },
  };
}

/** An image that has only a tag in its source is called after its file: "debian.tar" or "debian/". */
function fallbackName(source: string): string {
  const name = basename(source)
    .toLowerCase()
    .replace(/\.(tar|oci|gz|zst|tgz)\b/g, "")
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, "");
  return name === "" ? "image" : name;
}

/** Every fault of the store in a sentence. */
export async function verify(place: Place): Promise<string[]> {
  if (!place.exists) return [];
  const problems = (await verifyLayout(await place.layout())).map(({ message }) => message);
  const incomplete = listLayers(place.paths.layers).filter(
    (chainId) => !pathExists(join(layerDirectory(place.paths.layers, chainId), "layer.json")),
  );
  return [
    ...problems,
    ...incomplete.map((chainId) => `layer ${chainId} is incomplete`),
    ...place.leftBehind().map((path) => `${path} was left behind by a process that is gone (gantry prune removes it)`),
    ...place.danglingNames().map((name) => `the name ${name} points at no container`),
  ];
}
