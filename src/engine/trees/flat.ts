/** File systems as plain archives: written of images and containers, read as images of one layer. */
import { join } from "node:path";
import { byteStringFromText } from "#base/byte-string.ts";
import { readImage } from "#image/image.ts";
import { storeImageDocuments } from "#image/image-documents.ts";
import { packChanges } from "#image/layer/pack.ts";
import { storeLayer } from "#image/layer/store.ts";
import { annotate, appendLayer, editConfig, type ImageDocuments } from "#image/mutate.ts";
import { detectCompression } from "#image/source/magic.ts";
import { readFileOrPipe, unpackAny } from "#image/source/open.ts";
import { pathSink, streamSink } from "#image/target/sink.ts";
import { TarReader } from "#image/tar/read.ts";
import { joinPath } from "#image/tree/change.ts";
import { diffTrees } from "#image/tree/diff.ts";
import { mediaTypes } from "#spec/media-type.ts";
import { hostPlatform, parsePlatform } from "#spec/platform.ts";
import { lendFileChunks, readFileChunks } from "#sys/file-chunks.ts";
import { findFile } from "#sys/fs.ts";
import { makeDirectory } from "#sys/small-files.ts";
import { readContainers } from "../containers/list.ts";
import { findContainer } from "../containers/names.ts";
import type { ContainerRecord } from "../containers/record.ts";
import { find } from "../images.ts";
import { unpack, unpackOptions } from "../unpacked.ts";
import { containerPaths } from "../paths.ts";
import type { Place } from "../place.ts";
import { fillTree, layerTrees } from "../rootfs/layers.ts";
import { nameImage, openAddress, partOf } from "./home.ts";
import { createdOf, historyOf, type NewImage, type NewImageRequest } from "./new-image.ts";
import { layersOf } from "./unpack.ts";
import { viewTrees } from "./views.ts";

/** What is written where. */
export interface ExportRequest {
  /** A container's name or id, or an image's. */
  readonly name: string;
  /** A file, or what takes the bytes. */
  readonly to: string | ((bytes: Uint8Array) => Promise<void>);
  /** Seconds since 1970 that no time in the archive comes after. */
  readonly sourceDateEpoch?: number;
}

/** Writes the file system of a container, or of an image, as a tar: what a container would see, without what is mounted in it. */
export async function exportTree(place: Place, request: ExportRequest): Promise<void> {
  const directory = place.makeTemporary();
  try {
    const trees = await treesOf(place, request.name, directory);
    const survey = viewTrees(place, directory, { nothing: [], whole: trees });
    const names = { before: byteStringFromText("nothing"), after: byteStringFromText("whole") };
    const { changes, after } = await diffTrees(survey, names);
    const archive = packChanges({
      changes: changes.withoutRoot(),
      directory: (path) => after.self(path),
      place: survey,
      nameIn: (path) => joinPath(names.after, path),
      ...(request.sourceDateEpoch === undefined ? {} : { latestSeconds: request.sourceDateEpoch }),
    });
    const sink = typeof request.to === "string" ? await pathSink(request.to) : streamSink(request.to);
    try {
      for await (const chunk of archive) await sink.write(chunk);
      await sink.finish();
    } catch (error) {
      await sink.abort();
      throw error;
    }
  } finally {
    await place.removeTrees([directory]);
  }
}

/** The trees whose stack is the file system, lowest first. */
async function treesOf(place: Place, name: string, directory: string): Promise<readonly string[]> {
  const record = findRecord(place, name);
  if (record !== undefined) {
    const { rootfs, upper } = containerPaths(place.paths, record.id);
    return record.snapshotter === "copy" ? [rootfs] : [...layerTrees(place.paths.layers, record.layers), upper];
  }
  const found = await find(place, name);
  if ((await place.snapshotter()) === "overlay") {
    await unpack(place, found, {});
    return layerTrees(place.paths.layers, found.chainIds);
  }
  const tree = join(directory, "tree");
  makeDirectory(tree, 0o755);
  const layout = await place.layout();
  const image = await readImage(layout.blobs, found.descriptor);
  await fillTree(layersOf({ home: { name: "store", layout }, image }), { tree, accounts: directory }, unpackOptions(place, {}));
  return [tree];
}

function findRecord(place: Place, name: string): ContainerRecord | undefined {
  const records = readContainers(place.paths).map(({ record }) => record);
  return records.some((record) => record.name === name || (name.length >= 4 && record.id.startsWith(name)))
    ? findContainer(name, records)
    : undefined;
}

/** What an image is made of. */
export interface ImportRequest extends NewImageRequest {
  /** A file, or the bytes of an archive; packed with gzip or zstd, or not. */
  readonly source: string | AsyncIterable<Uint8Array>;
  /** "os/arch[/variant]"; the host's when left out. */
  readonly platform?: string;
}

/** Makes an image of one layer of an archive of a file system. @throws CodedError `corrupt` for what is no tar */
export async function importTree(place: Place, request: ImportRequest): Promise<NewImage> {
  const address = await openAddress(place, request.name ?? "", { create: true });
  const { layout } = address.home;
  const subject = typeof request.source === "string" ? request.source : "the input";
  const lease = await layout.lease();
  try {
    const archive = typeof request.source === "string" ? unpackFile(request.source) : unpackAny(request.source, subject);
    const layer = await storeLayer(layout.blobs, checked(archive), request.compression ?? "gzip");
    const image = editConfig(appendLayer(emptyImage(request), partOf(layer), historyOf(request)), request.edit ?? {});
    const stored = await storeImageDocuments(
      layout.blobs,
      request.annotations === undefined ? image : annotate(image, request.annotations),
    );
    const name = await nameImage(request.name === undefined ? { ...address, reference: undefined } : address, stored.descriptor);
    const { descriptor, diffId, archiveBytes } = layer;
    return {
      id: stored.id,
      manifest: stored.descriptor,
      name,
      layer: { digest: descriptor.digest, diffId, sizeBytes: descriptor.size, archiveBytes },
    };
  } finally {
    await lease.release();
  }
}

function emptyImage(request: ImportRequest): ImageDocuments {
  const { os, architecture, variant } = request.platform === undefined ? hostPlatform() : parsePlatform(request.platform);
  return {
    manifest: { schemaVersion: 2, mediaType: mediaTypes.manifest },
    config: {
      created: createdOf(request),
      ...(request.author === undefined ? {} : { author: request.author }),
      architecture,
      os,
      ...(variant === undefined ? {} : { variant }),
      config: {},
      rootfs: { type: "layers", diff_ids: [] },
      history: [],
    },
    layers: [],
  };
}

/** As `unpackAny`. A plain archive comes in chunks that hold their bytes only until the next one is asked for. */
async function* unpackFile(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  const found = await findFile(path);
  if (found?.isFile() !== true) return yield* unpackAny(readFileOrPipe(path), path);
  let first: Uint8Array = new Uint8Array();
  for await (const chunk of readFileChunks(path, { offset: 0, length: Math.min(16, found.size) })) first = chunk;
  yield* detectCompression(first) === "none" ? lendFileChunks(path) : unpackAny(readFileChunks(path), path);
}

const noVisitor = { entry: () => undefined, data: () => undefined, endEntry: () => undefined };

/** The archive must be a tar from its first byte to its last: nobody could unpack the image otherwise. */
async function* checked(archive: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = new TarReader(noVisitor);
  for await (const chunk of archive) {
    reader.push(chunk);
    yield chunk;
  }
  reader.end();
}
