/** Unpacking an image to a bundle: a root file system, the config.json to run it with, and what is needed to tell later what changed. */
import { join, resolve } from "node:path";
import { CodedError } from "#base/errors.ts";
import { blobPath } from "#image/blob/paths.ts";
import type { Image } from "#image/image.ts";
import type { Digest } from "#spec/digest.ts";
import { readFileChunks } from "#sys/file-chunks.ts";
import { listDirectory, makeDirectory, pathExists, readTextIfThere, removeFile, withNewFile, writeNewText } from "#sys/small-files.ts";
import { removeWhenInterrupted } from "#sys/unfinished.ts";
import { resolveUser } from "../containers/user.ts";
import { unpackOptions } from "../unpacked.ts";
import type { LoadRequest } from "../requests.ts";
import type { Place } from "../place.ts";
import { fillTree, type LayerSource } from "../rootfs/layers.ts";
import { makeBundleConfig } from "./bundle-config.ts";
import { bundlePaths, type BundlePaths, type BundleRecord } from "./bundle-record.ts";
import { findHomed, type HomedImage } from "./home.ts";
import { rememberLinkedFiles } from "./linked-files.ts";
import { viewTree } from "./views.ts";

/** What is unpacked, and where. */
export interface UnpackRequest extends Pick<LoadRequest, "maxLayerBytes" | "onProgress"> {
  /** A name in the store, or `oci:DIRECTORY[:TAG]`. */
  readonly image: string;
  /** A directory that is not there or empty. */
  readonly bundle: string;
  readonly platform?: string;
  /** Ids of the caller, who is not root. */
  readonly rootless?: { readonly uid: number; readonly gid: number };
}

/** Unpacks an image; a failure leaves nothing in the bundle's directory. Resolves with the image's id. */
export async function unpackBundle(place: Place, request: UnpackRequest): Promise<Digest> {
  const found = await findHomed(place, request.image, request.platform);
  const paths = bundlePaths(resolve(request.bundle));
  requireEmpty(paths);
  const isOurs = !pathExists(paths.directory);
  makeDirectory(paths.directory, 0o755);
  const made = isOurs
    ? [paths.directory]
    : [
        paths.rootfs,
        paths.config,
        paths.record,
        paths.listing,
        paths.links,
        join(paths.directory, "passwd"),
        join(paths.directory, "group"),
      ];
  const keep = made.map((path) => removeWhenInterrupted(path));
  try {
    await fill(place, request, { found, paths });
  } catch (error) {
    await place.removeTrees(made);
    throw error;
  } finally {
    for (const one of keep) one();
  }
  return found.image.id;
}

async function fill(place: Place, request: UnpackRequest, { found, paths }: { found: HomedImage; paths: BundlePaths }): Promise<void> {
  const { rootless } = request;
  makeDirectory(paths.rootfs, 0o755);
  place.prepare();
  // As they lie: applying verifies them, and once is enough.
  await withNewFile(paths.listing, (listing) =>
    fillTree(
      layersOf(found).map((layer) => ({ ...layer, open: () => readFileChunks(blobPath(found.home.layout.path, layer.descriptor.digest)) })),
      { tree: paths.rootfs, accounts: paths.directory, listing, ...(rootless === undefined ? {} : { rootless }) },
      unpackOptions(place, request),
    ),
  );
  await rememberLinkedFiles(paths, viewTree(place, paths.rootfs, rootless));
  const [passwd, group] = ["passwd", "group"].map((name) => takeText(join(paths.directory, name)));
  const user = resolveUser(found.image.config.config.User ?? "", passwd, group);
  const config = makeBundleConfig({ image: found.image.config, user, ...(rootless === undefined ? {} : { rootless }) });
  writeNewText(paths.config, `${JSON.stringify(config, null, 2)}\n`, 0o644);
  // Last: what has it is complete.
  writeNewText(paths.record, `${JSON.stringify(recordOf(request, found))}\n`, 0o644);
}

function takeText(path: string): string | undefined {
  const text = readTextIfThere(path);
  removeFile(path);
  return text;
}

function recordOf(request: UnpackRequest, { home, image }: HomedImage): BundleRecord {
  return { version: 1, home: home.name, reference: request.image, manifest: image.descriptor, rootless: request.rootless };
}

/** The layers of an image, lowest first, as unpacking takes them. */
export function layersOf({ home, image }: { readonly home: HomedImage["home"]; readonly image: Image }): LayerSource[] {
  return image.manifest.layers.map((descriptor, index) => ({
    chainId: image.chainIds[index] ?? "",
    diffId: image.config.rootfs.diff_ids[index] ?? "",
    descriptor,
    open: () => home.layout.blobs.open(descriptor.digest),
  }));
}

function requireEmpty({ directory }: BundlePaths): void {
  const [name] = listDirectory(directory);
  if (name !== undefined) throw new CodedError("already-exists", `cannot unpack to ${directory}: it holds ${JSON.stringify(name)}`);
}
