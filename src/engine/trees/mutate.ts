/** Images made of images: a layer more, fewer layers, another base, another config. */
import { join } from "node:path";
import { byteStringFromText, type ByteString } from "#base/byte-string.ts";
import { CodedError } from "#base/errors.ts";
import { betweenPhases } from "#base/memory.ts";
import { decompressLayer } from "#image/layer/decompress.ts";
import { packChanges } from "#image/layer/pack.ts";
import { layerTypes, storeLayer, type StoredLayer } from "#image/layer/store.ts";
import { appendLayer, editConfig, rebaseImage, requireLayer, squashLayers, type ImageDocuments } from "#image/mutate.ts";
import { readImageDocuments } from "#image/image-documents.ts";
import { detectCompression } from "#image/source/magic.ts";
import { TarReader } from "#image/tar/read.ts";
import { joinPath } from "#image/tree/change.ts";
import { diffTrees } from "#image/tree/diff.ts";
import { lendFileChunks, readFileChunks } from "#sys/file-chunks.ts";
import { findFile } from "#sys/fs.ts";
import { makeDirectory } from "#sys/small-files.ts";
import { unpackOptions } from "../unpacked.ts";
import type { Place } from "../place.ts";
import { fillTree } from "../rootfs/layers.ts";
import { bringLayers, findHomed, partOf, type HomedImage, type ImageHome } from "./home.ts";
import { createdOf, historyOf, makeImage, type NewImage, type NewImageRequest } from "./new-image.ts";
import { layersOf } from "./unpack.ts";
import { viewTrees } from "./views.ts";

/** A new image of an image. */
export interface MutateRequest extends NewImageRequest {
  readonly image: string;
}

/** Edits an image's config. */
export async function editImage(place: Place, request: MutateRequest & { readonly history: boolean }): Promise<NewImage> {
  const found = await findHomed(place, request.image);
  const edit = { ...request.edit, ...(request.author === undefined ? {} : { author: request.author }) };
  return await make(place, found, {
    request,
    make: (base) => Promise.resolve({ image: editConfig(base, edit, request.history ? historyOf(request) : undefined) }),
  });
}

/** Puts archives and directories on an image, each as one layer. */
export async function appendToImage(place: Place, request: MutateRequest & { readonly layers: readonly string[] }): Promise<NewImage> {
  const found = await findHomed(place, request.image);
  return await make(place, found, {
    request,
    make: async (base, target) => {
      let image: ImageDocuments = base;
      let layer: StoredLayer | undefined;
      for (const path of request.layers) {
        layer = await storePath(place, path, { target, request });
        image = appendLayer(image, partOf(layer), historyOf(request));
      }
      return { image: editConfig(image, request.edit ?? {}), ...(layer === undefined ? {} : { layer }) };
    },
  });
}

/** Makes one layer of an image's layers from number `from` on. */
export async function squashImage(place: Place, request: MutateRequest & { readonly from: number }): Promise<NewImage> {
  const found = await findHomed(place, request.image);
  return await make(place, found, {
    request,
    make: async (base, target) => {
      requireLayer(base, request.from);
      const directory = place.makeTemporary();
      try {
        const archive = squashed(place, found, { directory, request });
        const layer = await storeLayer(target.layout.blobs, archive, request.compression ?? "gzip");
        return { image: squashLayers(base, request.from, { layer: partOf(layer), history: historyOf(request) }), layer };
      } finally {
        await place.removeTrees([directory]);
      }
    },
  });
}

/** Puts an image on another base. */
export async function rebase(
  place: Place,
  request: MutateRequest & { readonly oldBase: string; readonly newBase: string },
): Promise<NewImage> {
  const found = await findHomed(place, request.image);
  const [from, to] = [await findHomed(place, request.oldBase), await findHomed(place, request.newBase)];
  return await make(place, found, {
    request,
    make: async (image, target) => {
      const read = ({ home, image: { descriptor } }: HomedImage): Promise<ImageDocuments> =>
        readImageDocuments(home.layout.blobs, descriptor);
      const bases = { from: await read(from), to: await read(to) };
      await bringLayers(
        to.home,
        target,
        bases.to.layers.map(({ descriptor }) => descriptor),
      );
      return { image: rebaseImage(image, bases, createdOf(request)) };
    },
  });
}

async function make(place: Place, { home, image }: HomedImage, what: Parameters<typeof makeImage>[2]): Promise<NewImage> {
  return await makeImage(place, { home, manifest: image.descriptor }, what);
}

/** What the layers from `request.from` on do to those below, as one archive: two trees are made and compared. */
async function* squashed(
  place: Place,
  found: HomedImage,
  { directory, request }: { readonly directory: string; readonly request: MutateRequest & { readonly from: number } },
): AsyncGenerator<Uint8Array, void, undefined> {
  const layers = layersOf(found);
  const [below, whole] = ["below", "whole"].map((name) => join(directory, name)) as [string, string];
  for (const tree of [below, whole]) makeDirectory(tree, 0o755);
  const options = unpackOptions(place, {});
  if (request.from > 0) await fillTree(layers.slice(0, request.from), { tree: below, accounts: directory }, options);
  await fillTree(layers, { tree: whole, accounts: directory }, options);
  betweenPhases();
  const survey = viewTrees(place, directory, { lower: [below], upper: [whole] });
  const names = { before: byteStringFromText("lower"), after: byteStringFromText("upper") };
  const { changes, after } = await diffTrees(survey, names);
  yield* packChanges({
    changes,
    directory: (path) => after.self(path),
    place: survey,
    nameIn: (path) => joinPath(names.after, path),
    ...(request.sourceDateEpoch === undefined ? {} : { latestSeconds: request.sourceDateEpoch }),
  });
}

/** A directory is packed; an archive is stored as it is, once it was read as a layer would be. */
async function storePath(
  place: Place,
  path: string,
  { target, request }: { readonly target: ImageHome; readonly request: NewImageRequest },
): Promise<StoredLayer> {
  const { blobs } = target.layout;
  const found = await findFile(path);
  if (found === undefined) throw new CodedError("not-found", `cannot append ${path}: there is no such file`);
  const compression = request.compression ?? "gzip";
  if (!found.isDirectory()) return await storeLayer(blobs, checked(path), compression);
  const directory = place.makeTemporary();
  try {
    const survey = viewTrees(place, directory, { lower: [], upper: [path] });
    const names = { before: "lower" as ByteString, after: "upper" as ByteString };
    const { changes, after } = await diffTrees(survey, names);
    const archive = packChanges({
      changes: changes.withoutRoot(),
      directory: (changed) => after.self(changed),
      place: survey,
      nameIn: (changed) => joinPath(names.after, changed),
      ...(request.sourceDateEpoch === undefined ? {} : { latestSeconds: request.sourceDateEpoch }),
    });
    return await storeLayer(blobs, archive, compression);
  } finally {
    await place.removeTrees([directory]);
  }
}

const noVisitor = { entry: () => undefined, data: () => undefined, endEntry: () => undefined };

/** The archive in a file, unpacked; it must be a tar from its first byte to its last. */
async function* checked(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  let first: Uint8Array = new Uint8Array();
  for await (const chunk of readFileChunks(path, { offset: 0, length: Math.min(16, (await findFile(path))?.size ?? 0) })) first = chunk;
  const format = detectCompression(first);
  if (format === "xz" || format === "bzip2") throw new CodedError("unsupported", `cannot append ${path}: it is compressed with ${format}`);
  const reader = new TarReader(noVisitor);
  // A decompressor works on several chunks at a time.
  const content = format === "none" ? lendFileChunks(path) : readFileChunks(path);
  for await (const chunk of decompressLayer(content, layerTypes[format])) {
    reader.push(chunk);
    yield chunk;
  }
  reader.end();
}
